"""The priors of a run, as files beside it and as proposals in the cognition base."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cognition.store import BaseError
from engine.errors import RunError
from engine.journal.events import PriorProposed
from engine.journal.reader import JournalReader
from engine.priors.place import open_collection, place_in_journal, proposal_names
from engine.runs.folder import Run
from engine.state.run_state import RunState

__all__ = ["rename_proposals", "unpack_priors"]


def unpack_priors(run: Run, state: RunState, blob: Callable[[str], bytes]) -> None:
    """Write the priors that a fork copied, unless the files exist: a person's edits are kept.

    Raises:
        OSError: they cannot be written.
    """
    folder = run.folder / "priors"
    if state.forked is None or not state.forked.own_priors or folder.exists():
        return
    partial = run.folder / f".priors.{os.getpid()}"
    partial.mkdir()
    for name, sha256 in state.forked.prior_files.items():
        # A name is a file's name and nothing else, whoever wrote the journal.
        (partial / Path(name).name).write_bytes(blob(sha256))
    partial.rename(folder)


def rename_proposals(run: Run, former: str) -> None:
    """Rename a run's proposals to the run's new name, so that they are not proposed again.

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
        place = place_in_journal(run.folder, reader) if proposed else None
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
            f"the run is '{run.name}' now, but its proposals keep the name '{former}': {exc.message}", exc.hint
        ) from None
