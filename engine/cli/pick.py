"""Find the run that the command line names, without loading the command line's library."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.errors import RunError, UsageError
from engine.runs.folder import AmbiguousRun, Run, find_run
from engine.workspace import runs_folder

__all__ = ["existing_folder", "folder_of", "pick"]


def folder_of(runs: Path | None) -> Path:
    """Return the absolute path of the `--runs` folder, by default the workspace's. It may not exist."""
    return runs_folder() if runs is None else runs.expanduser().absolute()


def existing_folder(runs: Path | None) -> Path:
    """Return the folder of the runs, to read from.

    Raises:
        UsageError: the folder that `--runs` names does not exist.
    """
    folder = folder_of(runs)
    if runs is not None and not folder.is_dir():
        raise UsageError(f"--runs {runs}: {'it is not a folder' if folder.exists() else 'there is no such folder'}")
    return folder


def pick(run: str | None, runs: Path | None, ask: bool = True) -> Run:
    """Return the run that a path, a name or the beginning of a name means; for None the newest.

    If several runs match, raise an error that names the newest; in a terminal offer the newest instead.

    Args:
        run: the argument as typed.
        runs: the folder that `--runs` names.
        ask: whether to offer the newest; False before an act that cannot be undone.

    Raises:
        RunError: there is no such run, or several match.
        UsageError: the folder that `--runs` names does not exist.
    """
    try:
        return find_run(run, folder_of(runs))
    except AmbiguousRun as exc:
        if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"{exc.message}.", file=sys.stderr)
        print(f"Take the newest, {exc.newest.name}? [Y/n] ", end="", file=sys.stderr, flush=True)
        # The end of input is not an answer.
        if sys.stdin.readline().casefold() not in ("\n", "y\n", "yes\n"):
            raise RunError("no run was chosen", exc.hint) from None
        return exc.newest
    except RunError:
        # Checked only now: a run named by its path needs no folder of runs.
        existing_folder(runs)
        raise
