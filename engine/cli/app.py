"""The Typer application, and the arguments, options and output functions that commands share."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.complete import run_names, task_names
from engine.cli.group import CommandGroup
from engine.cli.output import holds_everything
from engine.cli.pick import existing_folder, folder_of, pick
from engine.errors import UsageError

__all__ = [
    "ForceOption",
    "JsonOption",
    "RunArgument",
    "RunName",
    "RunsOption",
    "TaskName",
    "app",
    "existing_folder",
    "fail",
    "folder_of",
    "pick",
    "print_json",
    "refuse_to_replace",
]

app = typer.Typer(
    name="evolve",
    cls=CommandGroup,
    help="Evolve programs and steer the search: learn, design, experiment, analyze.",
    epilog="'evolve' alone opens the list of runs. 'evolve COMMAND --help' explains a command.",
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def _absolute(folder: Path | None) -> Path | None:
    return None if folder is None else folder.absolute()


RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Folder of the runs; by default the workspace's.", callback=_absolute),
]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="Path, name or beginning of a name; by default the newest run.", autocompletion=run_names
    ),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Path, name or beginning of a name.", autocompletion=run_names)
]
TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="A built-in task or a task folder.", autocompletion=task_names)
]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"evolve {version_of('asi-evolve-tui')}")
        raise typer.Exit()


@app.callback()
def evolve(
    ctx: typer.Context,
    runs: RunsOption = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="HOST", help="Stands first: do all that follows on another machine, through your ssh."
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Handle the options before a command."""
    if host:
        raise UsageError("--host stands before everything else: evolve --host HOST …")
    if ctx.invoked_subcommand is not None:
        if runs is not None:
            raise UsageError(f"--runs belongs after the command: evolve {ctx.invoked_subcommand} … --runs {runs}")
        return
    raise UsageError("this is not a terminal: the list of runs cannot be shown", "'evolve runs' prints it")


def print_json(value: Any) -> None:
    """Print a JSON value on one line; characters that the encoding of stdout lacks are escaped, never replaced."""
    print(json.dumps(value, ensure_ascii=not holds_everything(), separators=(", ", ": "), allow_nan=False))


def refuse_to_replace(file: Path, force: bool) -> None:
    """Raise UsageError if a file, or a folder with something in it, exists, unless `--force` is given."""
    if not force and (file.is_file() or (file.is_dir() and any(file.iterdir()))):
        raise UsageError(f"{file} is there already", "--force replaces it; or name another file")


def fail(code: int) -> None:
    """Flush stdout and exit with a code."""
    sys.stdout.flush()
    raise typer.Exit(code)
