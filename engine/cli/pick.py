"""Which run the command line means. Loads nothing of the command line's library."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.errors import RunError, UsageError
from engine.runs.folder import AmbiguousRun, Run, find_run
from engine.workspace import runs_folder

__all__ = ["existing_folder", "folder_of", "pick"]


def folder_of(runs: Path | None) -> Path:
    """The folder that `--runs` names, absolute; the workspace's without it. It may be missing."""
    return runs_folder() if runs is None else runs.expanduser().absolute()


def existing_folder(runs: Path | None) -> Path:
    """The folder of the runs, to read from.

    Raises:
        UsageError: `--runs` names one that is not there.
    """
    folder = folder_of(runs)
    if runs is not None and not folder.is_dir():
        raise UsageError(f"--runs {runs}: {'it is no folder' if folder.exists() else 'there is no such folder'}")
    return folder


def pick(run: str | None, runs: Path | None, ask: bool = True) -> Run:
    """The run that a path, a name or the beginning of a name means; the newest for None.

    A name that fits several is an error that names the newest. In a terminal the newest is offered instead.

    Args:
        run: what was written.
        runs: the folder that `--runs` names.
        ask: whether to offer the newest; not before what cannot be undone.

    Raises:
        RunError: there is none, or the beginning fits several.
        UsageError: `--runs` names a folder that is not there.
    """
    try:
        return find_run(run, folder_of(runs))
    except AmbiguousRun as exc:
        if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"{exc.message}.", file=sys.stderr)
        print(f"Take the newest, {exc.newest.name}? [Y/n] ", end="", file=sys.stderr, flush=True)
        # An end of input is no answer.
        if sys.stdin.readline().casefold() not in ("\n", "y\n", "yes\n"):
            raise RunError("no run was taken", exc.hint) from None
        return exc.newest
    except RunError:
        # A run may be named by its path, and --runs by where a new one goes; only a name is looked for in there.
        existing_folder(runs)
        raise
