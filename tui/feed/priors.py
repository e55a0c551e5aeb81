"""Work on a collection of priors in a thread: sync its files and the base when either changes, post the list, and run
the user's acts in order."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cognition.collection import Collection
from cognition.prior import PriorError
from cognition.store import CognitionError
from cognition.sync import Sync, trouble_by_prior
from cognition.watch import Watch
from engine.errors import EvolveError, RunError
from engine.journal.reader import JournalReader
from engine.priors.place import PriorPlace, open_collection, place_in_journal, place_of_run
from engine.runs.folder import Run, all_runs
from engine.state.run_state import RunState
from tui.model.prior_list import NO_USE, PriorRow, Use

if TYPE_CHECKING:
    from cognition.retrieve import Hit, Retriever

__all__ = ["PriorDesk", "Shelf", "place_to_read"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
"""How often the priors are read if they could not be, or if their file system reports no changes."""
_USE_SECONDS = 60.0
_BUSY_SECONDS = 2.0

Act = Callable[[Collection], Any]


@dataclass(frozen=True)
class Shelf:
    """The priors as they are."""

    place: PriorPlace
    rows: tuple[PriorRow, ...]
    problems: tuple[str, ...]
    """Problems to show to the user, a sentence each."""


def place_to_read(run: Run, state: RunState | None) -> PriorPlace:
    """Return where a run's priors are; without its state, read it from its journal.

    Raises:
        JournalError: the journal cannot be read.
        RunError: the run does not say where its priors are.
    """
    if state is None:
        with JournalReader(run.db) as reader:
            place = place_in_journal(run.folder, reader)
    else:
        place = place_of_run(run.folder, state)
    if not place.folder.is_absolute():
        raise RunError(f"'{run.name}' does not say where its priors are", "'evolve priors --task TASK' reads a task's")
    return place


class PriorDesk:
    """Works on a collection in a thread; reports by posting calls of the functions that it is given.

    Args:
        find: return where the priors are; called in the thread.
        runs: the folder of the runs, whose journals hold the use and gain of each prior.
        post: have the screens call a function; it must not wait.
        changed: gets the list, first and after each change.
        failed: gets the reason if nothing can be read; the desk goes on trying.
    """

    def __init__(
        self,
        find: Callable[[], PriorPlace],
        runs: Path,
        post: Callable[[Callable[[], None]], None],
        changed: Callable[[Shelf], None],
        failed: Callable[[str], None],
    ) -> None:
        self._find = find
        self._runs = runs
        self._post = post
        self._changed = changed
        self._failed = failed
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        """Functions for the thread to call, in order; None ends it."""
        self._stopped = threading.Event()
        self._uses: dict[str, Use] = {}
        self._collection: Collection | None = None
        self._sync: Sync | None = None
        self._place: PriorPlace | None = None
        self._told: tuple[object, ...] = ()
        self._trouble = ""
        self._incomplete = True
        """Whether the next look may find more although nothing changed."""
        self._retriever: Retriever | None = None

    # Called by the screens

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._work, name="priors", daemon=True).start()

    def stop(self) -> None:
        """End the thread once it has done what was asked; nothing is posted any more."""
        self._stopped.set()
        self._calls.put(None)

    def do(self, act: Act, done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        """Call `act` with the collection and post its result to `done`.

        If it raises a CognitionError, a PriorError or an EvolveError, post that to `failed`.
        """
        self._calls.put(partial(self._act, act, done, failed))

    def search(
        self, texts: Sequence[str], most: int, done: Callable[[list[Hit]], None], failed: Callable[[Exception], None]
    ) -> None:
        """Post the enabled priors that have words of the texts, best first. Nothing is embedded here."""
        self.do(partial(self._search, list(texts), most), done, failed)

    # Runs in the thread

    def _work(self) -> None:
        counting: threading.Thread | None = None
        watch: Watch | None = None
        call: Callable[[], None] | None = self._look
        while call is not None:
            call()
            if self._place is not None and watch is None:
                watch = Watch(self._place.paths, partial(self._calls.put, self._look), _POLL_SECONDS)
                watch.start()
            if self._collection is not None and counting is None:
                counting = threading.Thread(target=self._count, args=(self._collection,), name="uses", daemon=True)
                counting.start()
            try:
                call = self._calls.get(timeout=_POLL_SECONDS if self._incomplete else None)
            except queue.Empty:
                call = self._look
        if watch is not None:
            watch.stop()
        if counting is not None:
            counting.join()
        if self._collection is not None:
            self._collection.store.close()

    def _open(self) -> Collection:
        if self._collection is None or self._sync is None:
            self._place = self._find()
            self._collection = open_collection(self._place, _BUSY_SECONDS)
            self._sync = Sync(self._collection, _BUSY_SECONDS)
        return self._collection

    def _look(self) -> None:
        try:
            collection = self._open()
            assert self._sync is not None and self._place is not None
            report = self._sync.run()
            problems = tuple(f"{item.name}: {item.text}" if item.name else item.text for item in report.problems)
            self._incomplete = any(not item.name for item in report.problems)
            uses, generation = self._uses, collection.generation()
            if (generation, problems, uses) == self._told and not self._trouble:
                return
            entries = collection.entries("active", "pending", "rejected", "removed")
        except (CognitionError, EvolveError) as exc:
            self._incomplete = True
            if str(exc) != self._trouble:
                self._trouble = str(exc)
                _log.warning("%s", exc)
                self._tell(partial(self._failed, self._trouble))
            return
        self._trouble = ""
        self._told = (generation, problems, uses)
        trouble = trouble_by_prior(entries, report.problems)
        rows = tuple(PriorRow(entry, uses.get(entry.id, NO_USE), trouble.get(entry.id, "")) for entry in entries)
        self._tell(partial(self._changed, Shelf(self._place, rows, problems)))

    def _act(self, act: Act, done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        try:
            result = act(self._open())
        except (CognitionError, PriorError, EvolveError) as exc:
            self._tell(partial(failed, exc))
        else:
            # Post the list first, so that `done` finds the change in it.
            self._look()
            self._tell(partial(done, result))

    def _tell(self, call: Callable[[], None]) -> None:
        if not self._stopped.is_set():
            self._post(call)

    def _search(self, texts: list[str], most: int, collection: Collection) -> list[Hit]:
        # Lazy: this loads numpy, which would delay the application's start.
        from cognition.retrieve import Retriever

        if self._retriever is None:
            self._retriever = Retriever()
        return self._retriever.search(collection.priors(), texts, most, 0, 0.0, random.Random(0))

    def _count(self, collection: Collection) -> None:
        """Count the use and gain of the priors, in a separate thread: reading a long run takes seconds."""
        from engine.priors.usage import use_over_runs

        while not self._stopped.is_set():
            try:
                found = use_over_runs(collection, (run.folder for run in all_runs(self._runs)))
            except (CognitionError, EvolveError) as exc:
                _log.warning("use and gain of the priors cannot be counted: %s", exc)
            else:
                uses = {
                    prior_id: Use(use.shown, use.given, use.gain, use.share, use.last, use.number)
                    for prior_id, use in found.items()
                }
                if uses != self._uses:
                    self._uses = uses
                    self._calls.put(self._look)
            self._stopped.wait(_USE_SECONDS)
