"""Read a journal in a thread while an engine writes it.

It polls `PRAGMA data_version`, which costs 0.15 ms; a file watcher would cost five times that, need the query too and
miss network folders. Only one batch is in flight, so that slow screens do not pile up batches.
"""

from __future__ import annotations

import logging
import time
from itertools import islice

import msgspec

from engine.errors import JournalBusy, JournalError
from engine.journal.clock import WallClock
from engine.journal.database import decode_row, make_plain
from engine.journal.events import Event, Telemetry
from engine.journal.live import LIVE_OUTPUT, LIVE_TELEMETRY, LiveRow
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, all_runs, is_alive
from engine.state.fold import damage_named
from engine.state.timeline import uncollected
from tui.feed.batch import Batch
from tui.feed.essential import essential_events
from tui.feed.thread import FeedThread
from tui.model.run_model import fold_model
from tui.model.streams import LIVE_STREAM

__all__ = ["LiveFeed"]

_log = logging.getLogger(__name__)

_BATCH = 500
_WRITTEN = (LIVE_STREAM, LIVE_OUTPUT)
_CHECK_SECONDS = 1.0
_AWAKE_SECONDS = 5.0
_AWAKE_PERIOD = 0.1


class LiveFeed(FeedThread):
    """Reads a run's journal and posts new events.

    Args:
        run: the run's folder.
    """

    is_replay = False
    is_moving = True

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._period = 0.1
        self._awake_until = 0.0
        self._reader: JournalReader | None = None
        self._identity: tuple[int, int] | None = None
        self._seq = 0
        self._live = 0
        self._more = False
        self._alive = False
        self._trouble = ""
        self._checked = 0.0
        self._clock = WallClock()

    # Called from the screens' thread

    def set_period(self, seconds: float) -> None:
        """Set the seconds between two polls while no event is expected."""
        if seconds != self._period:
            self._period = seconds
            self._wake.set()

    def wake(self) -> None:
        """Poll often for the next few seconds."""
        self._awake_until = time.monotonic() + _AWAKE_SECONDS
        self._wake.set()

    def now_ms(self) -> int:
        """Return the time of the wall clock; if it is set, the new time counts from the next event on."""
        return self._clock.now_ms()

    # Runs in the feed's thread

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                batch = self._look()
            except JournalError as exc:
                batch = self._failed(exc)
            except OSError as exc:
                batch = self._failed(JournalError(f"{self.run.db} cannot be read: {exc.strerror}"))
            if batch is not None:
                self._send(batch)
                if len(batch.events) == _BATCH:
                    continue
            period = _AWAKE_PERIOD if time.monotonic() < self._awake_until else self._period
            self._pause(period if self._reader is not None else _CHECK_SECONDS)
        self._close()
        if self.run.db.exists() and not is_alive(self.run):
            # While this reader was open, the engine could not leave one plain file.
            make_plain(self.run.db)

    def _look(self) -> Batch | None:
        if self._reader is None:
            self._follow_move()
            return self._open()
        alive = self._alive
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            self._checked = time.monotonic()
            moved = self._check_place()
            if moved is not None:
                return moved
            alive = is_alive(self.run)
        events: tuple[Event, ...] = ()
        telemetry: Telemetry | None = None
        streams: tuple[LiveRow, ...] = ()
        if self._reader.changed() or self._more:
            # Read live rows before events: so nothing of a call comes after the event of its end.
            (telemetry, streams), events = self._read_live(), self._read()
        if not events and telemetry is None and not streams and alive == self._alive and not self._trouble:
            return None
        self._alive = alive
        self._trouble = ""
        return Batch(self.run, alive, events, telemetry=telemetry, streams=streams)

    def _read(self) -> tuple[Event, ...]:
        assert self._reader is not None
        rows = list(islice(self._reader.rows(self._seq), _BATCH))
        self._more = len(rows) == _BATCH
        if rows:
            self._seq = rows[-1][0]
            self._clock.set()
        return tuple(event for row in rows if (event := decode_row(row, self.run.db)) is not None)

    def _read_live(self) -> tuple[Telemetry | None, tuple[LiveRow, ...]]:
        """Return the newest telemetry since the last call, and what models and evaluations wrote."""
        assert self._reader is not None
        rows = self._reader.live_after(self._live)
        if rows:
            self._live = rows[-1].id
        newest = next((row for row in reversed(rows) if row.kind == LIVE_TELEMETRY), None)
        telemetry = msgspec.convert(newest.data, Telemetry) if newest is not None else None
        return telemetry, tuple(row for row in rows if row.kind in _WRITTEN)

    def _open(self) -> Batch:
        """Open the journal and fold all of it in this thread, so that the screens stay responsive."""
        stat = self.run.db.stat()
        reader = JournalReader(self.run.db)
        try:
            reader.changed()
            upto = reader.last_seq()
            with damage_named(self.run.db), uncollected():
                model = fold_model(essential_events(reader, 0, upto))
        except JournalError:
            reader.close()
            raise
        self._reader = reader
        self._identity = (stat.st_dev, stat.st_ino)
        self._seq = upto
        self._clock.set()
        rows = reader.live_after(0)
        self._live = rows[-1].id if rows else 0
        # Of the earlier live rows only those of open calls and running evaluations matter.
        model.take_live(row for row in rows if row.kind in _WRITTEN)
        self._more = True
        self._trouble = ""
        self._alive = is_alive(self.run)
        self._checked = time.monotonic()
        return Batch(self.run, self._alive, model=model)

    def _check_place(self) -> Batch | None:
        """Follow a renamed folder; start over if another file replaced the journal."""
        try:
            stat = self.run.db.stat()
            if (stat.st_dev, stat.st_ino) == self._identity:
                return None
            self._close()
            return self._open()
        except FileNotFoundError:
            pass
        self._close()
        self._follow_move()
        return self._open()

    def _follow_move(self) -> None:
        """Find a run whose folder was renamed.

        Raises:
            JournalError: the run is gone.
        """
        if self._identity is None or self.run.db.exists():
            return
        found = self._find_again()
        if found is None:
            raise JournalError(f"'{self.run.name}' is gone from {self.run.folder.parent}")
        _log.info("the run moved from %s to %s", self.run.folder, found.folder)
        self.run = found

    def _find_again(self) -> Run | None:
        for run in all_runs(self.run.folder.parent):
            try:
                stat = run.db.stat()
            except OSError:
                continue
            if (stat.st_dev, stat.st_ino) == self._identity:
                return run
        return None

    def _failed(self, error: JournalError) -> Batch | None:
        if isinstance(error, JournalBusy):
            # The last user of the journal is cleaning up at this moment: try again at the next poll.
            return None
        self._close()
        # Read an unreadable file whole when it is back, since it may have changed meanwhile.
        if str(error) == self._trouble:
            return None
        _log.warning("%s", error)
        self._trouble = str(error)
        return Batch(self.run, False, trouble=self._trouble)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
