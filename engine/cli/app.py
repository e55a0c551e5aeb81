"""The Typer application and what all commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.run import Run, find_run
from engine.workspace import runs_folder

__all__ = ["JsonOption", "RunArgument", "RunsOption", "app", "fail", "pick", "print_json"]

app = typer.Typer(
    name="evolve",
    help="Evolve programs under your eyes: learn, design, experiment, analyze.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def _absolute(folder: Path | None) -> Path | None:
    return None if folder is None else folder.absolute()


RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Folder of the runs; the workspace's by default.", callback=_absolute),
]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Path, name or the beginning of a name; the newest by default.")
]


def pick(run: str | None, runs: Path | None) -> Run:
    """The run that the command line means.

    Raises:
        RunError: there is none.
    """
    return find_run(run, runs_folder() if runs is None else runs)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    print(json.dumps(value, ensure_ascii=False, separators=(", ", ": "), allow_nan=False))


def fail(code: int) -> None:
    """Leave with an exit code after what was printed."""
    sys.stdout.flush()
    raise typer.Exit(code)
