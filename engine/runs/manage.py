"""Rename and delete runs."""

from __future__ import annotations

from contextlib import suppress

from engine.errors import JournalError, RunError
from engine.evaluation.supervisor.folders import remove_tree
from engine.runs.folder import Run, check_name, is_alive
from engine.runs.prior_files import rename_proposals

__all__ = ["delete_run", "rename_run"]


def rename_run(run: Run, name: str) -> Run:
    """Give a run's folder another name beside the old one; what it proposed goes by its new name from then on.

    Raises:
        RunError: its engine is alive, the name is taken or cannot name a run; or it has its new name, and its proposals
            keep the old one.
    """
    check_name(name)
    if is_alive(run):
        raise RunError(f"run '{run.name}' has an engine at work", f"'evolve stop {run.typed}' ends it")
    target = run.folder.with_name(name)
    if target.exists():
        raise RunError(f"there is a run '{name}' already in {run.folder.parent}", "Choose another name")
    try:
        renamed = Run(run.folder.rename(target))
    except OSError as exc:
        raise RunError(f"{run.folder} cannot be renamed: {exc.strerror}") from None
    # A journal that cannot be read proposes nothing any more.
    with suppress(JournalError):
        rename_proposals(renamed, run.name)
    return renamed


def delete_run(run: Run) -> None:
    """Remove a run's folder.

    Raises:
        RunError: its engine is alive, or the folder cannot be removed.
    """
    if is_alive(run):
        raise RunError(f"run '{run.name}' has an engine at work", f"'evolve stop {run.typed}' ends it")
    try:
        remove_tree(str(run.folder))
    except OSError as exc:
        raise RunError(f"{exc.filename or run.folder} cannot be removed: {exc.strerror}") from None
