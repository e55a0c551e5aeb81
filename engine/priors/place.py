"""Where the priors of a task or a run are: the folder with their files, and the collection in the cognition base."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from cognition.collection import Collection
from cognition.store import BaseError, Store
from engine.errors import RunError
from engine.journal.events import PriorProposed
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, fold_run, priors_of
from engine.state.run_state import RunState
from engine.task.spec import Task
from engine.workspace import network_file_system, priors_folder, workspace

__all__ = [
    "PriorPlace",
    "base_path",
    "open_collection",
    "place_of_run",
    "place_of_task",
    "proposal_names",
    "rename_proposals",
]


class PriorPlace(NamedTuple):
    """Where priors are kept."""

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
        """What changes if the priors do: the folder, and the base with its write-ahead log."""
        return {self.folder, self.base, self.base.with_name(f"{self.base.name}-wal")}


def base_path() -> Path:
    """The workspace's cognition base."""
    return workspace() / "cognition.db"


def place_of_task(task: Task) -> PriorPlace:
    """Where the priors of a task are; those of a built-in task are copied into the workspace at first use."""
    return _in_workspace(task.spec.name, priors_folder(task))


def place_of_run(run: Run, state: RunState) -> PriorPlace:
    """Where a run reads its priors; a fork with priors of its own has a base of its own beside them."""
    folder = priors_of(run, state)
    task = state.start.task if state.start is not None else ""
    if folder == run.folder / "priors":
        return PriorPlace(run.folder / "cognition.db", task, task, folder)
    return _in_workspace(task, folder)


def open_collection(place: PriorPlace, busy_seconds: float = 5.0) -> Collection:
    """Open the base, and the collection in it; `collection.store.close()` closes both.

    Args:
        place: where it is.
        busy_seconds: how long a write waits for another process.

    Raises:
        BaseError: the base is locked, damaged, or lies where SQLite's log is not safe.
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


def rename_proposals(run: Run, former: str) -> None:
    """Let what a run proposed go by the run's name of now, so that it is not proposed once more.

    Args:
        run: the run.
        former: the name it had when it proposed.

    Raises:
        JournalError: its journal cannot be read.
        RunError: the base cannot be written.
    """
    with JournalReader(run.db) as reader:
        events = reader.events_of(PriorProposed)
        proposed = [event.data for event in events if isinstance(event.data, PriorProposed)]
        place = place_of_run(run, fold_run(reader)) if proposed else None
    if place is None:
        return
    try:
        collection = open_collection(place)
        with collection.store, collection.store.writing():
            for data in proposed:
                for name in proposal_names(data):
                    collection.rename_run(name, former, run.name)
    except BaseError as exc:
        raise RunError(
            f"the run is '{run.name}' now, but what it proposed still goes by '{former}': {exc.message}", exc.hint
        ) from None


def proposal_names(data: PriorProposed) -> tuple[str, str]:
    """What the base calls a proposal of a run: its id; where another text had that before, the second one."""
    return data.id, f"{data.id}-{data.text_blob[:8]}"


def _in_workspace(task: str, folder: Path) -> PriorPlace:
    if folder.parent == workspace() / "priors":
        return PriorPlace(base_path(), folder.name, task, folder)
    # Two tasks of one name in different folders are different tasks.
    digest = hashlib.sha256(str(folder.parent.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return PriorPlace(base_path(), f"{task}-{digest[:8]}", task, folder)
