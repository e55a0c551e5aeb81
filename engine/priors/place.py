"""Find the priors of a task or a run: the folder of their files and their collection in the cognition base."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from cognition.collection import Collection
from cognition.store import BaseError, Store
from engine.errors import EvolveError
from engine.journal.events import PriorProposed, RunForked, TaskChanged
from engine.journal.reader import JournalReader
from engine.state.fold import apply, first_state
from engine.state.run_state import RunState
from engine.task.load import BUILTIN_TASKS
from engine.task.spec import Task
from engine.workspace import network_file_system, workspace

__all__ = [
    "PriorPlace",
    "base_path",
    "open_collection",
    "place_in_journal",
    "place_of_run",
    "place_of_task",
    "priors_folder",
    "priors_of",
    "proposal_names",
]


class PriorPlace(NamedTuple):
    """The place of priors."""

    base: Path
    """The cognition base."""
    collection: str
    """The collection's id."""
    task: str
    """The task's name."""
    folder: Path
    """The folder of the files; it may be missing."""

    @property
    def paths(self) -> set[Path]:
        """Paths that change if the priors do: the folder, and the base with its write-ahead log."""
        return {self.folder, self.base, self.base.with_name(f"{self.base.name}-wal")}


def base_path() -> Path:
    """Return the path of the workspace's cognition base."""
    return workspace() / "cognition.db"


def place_of_task(task: Task) -> PriorPlace:
    """Return where the priors of a task are; copy those of a built-in task into the workspace at first use."""
    return _in_workspace(task.spec.name, priors_folder(task))


def place_of_run(folder: Path, state: RunState) -> PriorPlace:
    """Return where the run in a folder reads its priors; a fork with its own priors has its own base beside them."""
    priors = priors_of(folder, state)
    task = state.start.task
    if priors == folder / "priors":
        return PriorPlace(folder / "cognition.db", task, task, priors)
    return _in_workspace(task, priors)


def place_in_journal(folder: Path, reader: JournalReader) -> PriorPlace:
    """Return where the run in a folder reads its priors, by the few events that say so.

    Raises:
        JournalError: the journal cannot be read, or holds no run.
    """
    state = first_state(reader)
    for event in sorted(reader.events_of(TaskChanged) + reader.events_of(RunForked), key=lambda event: event.seq):
        apply(state, event)
    return place_of_run(folder, state)


def priors_of(folder: Path, state: RunState) -> Path:
    """Return the folder that the run in `folder` reads its priors from; it may be missing."""
    if state.forked is not None and state.forked.own_priors:
        return folder / "priors"
    return Path(state.start.priors)


def priors_folder(task: Task) -> Path:
    """Return the folder from which the task's priors are read, live.

    A user's task keeps them beside its other files. Those of a built-in task are copied into the workspace at first
    use, where the user may edit them; existing files are never overwritten.

    Raises:
        EvolveError: they cannot be copied.
    """
    if task.folder.parent != BUILTIN_TASKS:
        return task.priors
    folder = workspace() / "priors" / task.spec.name
    if not folder.exists() and task.priors.is_dir():
        # Renamed into place, so that a second command never sees half of the files.
        partial = folder.with_name(f".{folder.name}.{os.getpid()}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(task.priors, partial)
        except OSError as exc:
            shutil.rmtree(partial, ignore_errors=True)
            # copytree() gathers the errors of all files in one.
            why = exc.strerror or str(exc.args[0][0][2] if isinstance(exc, shutil.Error) else exc).partition(": '")[0]
            raise EvolveError(
                f"the priors of {task.spec.name} cannot be copied to {folder}: {why}",
                "Free some space, or set EVOLVE_HOME to another folder",
            ) from None
        try:
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial)
    return folder


def open_collection(place: PriorPlace, busy_seconds: float = 5.0) -> Collection:
    """Open the base, and the collection in it; `collection.store.close()` closes both.

    Args:
        place: the place.
        busy_seconds: how long a write waits for another process.

    Raises:
        BaseError: the base is locked or damaged, or its file system is not safe for SQLite's log.
    """
    kind = network_file_system(place.base)
    if kind:
        raise BaseError(
            f"{place.base} is on a network file system ({kind}), where the base is not safe",
            "Set EVOLVE_HOME to a local folder",
        )
    store = Store(place.base, busy_seconds)
    try:
        return Collection(store, place.collection, place.task, place.folder)
    except BaseError:
        store.close()
        raise


def proposal_names(data: PriorProposed) -> tuple[str, str]:
    """Return the base's names for a proposal of a run: its id, and another one if a different text has that."""
    return data.id, f"{data.id}-{data.text_blob[:8]}"


def _in_workspace(task: str, folder: Path) -> PriorPlace:
    if folder.parent == workspace() / "priors":
        return PriorPlace(base_path(), folder.name, task, folder)
    # Two tasks of one name in different folders are different tasks.
    digest = hashlib.sha256(str(folder.parent.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return PriorPlace(base_path(), f"{task}-{digest[:8]}", task, folder)
