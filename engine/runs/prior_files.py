"""The priors of a run, as files beside it and as proposals in the cognition base."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cognition.store import BaseError
from engine.errors import RunError
from engine.journal.events import PriorProposed
from engine.journal.reader import JournalReader
from engine.priors.place import open_collection, place_of_run, proposal_names
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.run_state import RunState

__all__ = ["rename_proposals", "unpack_priors"]


def unpack_priors(run: Run, state: RunState, blob: Callable[[str], bytes]) -> None:
    """Lay out the priors that a fork brought along, unless they are there: what a person edited is left alone.

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
        place = place_of_run(run.folder, fold_run(reader)) if proposed else None
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
