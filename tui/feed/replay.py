"""Replay a recorded run in a thread: the batches of the live feed, by a clock that can be stopped and set.

The feed only reads the journal, so it can replay a run while its engine goes on, or from a read-only medium. It never
shows an event before its time.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from itertools import islice

from engine.errors import JournalError
from engine.journal.database import make_plain
from engine.journal.events import Event
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.state.fold import first_state
from engine.state.timeline import Timeline
from tui.feed.batch import Batch
from tui.feed.essential import essential_events
from tui.feed.thread import FeedThread
from tui.model.event_index import EventIndex
from tui.model.run_model import RunModel

__all__ = ["SPEEDS", "ReplayFeed"]

_log = logging.getLogger(__name__)

SPEEDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Speeds, as multiples of the recorded one."""

_BATCH = 500
_NEAR = 1000
"""A jump of at most so many events ahead delivers the events; a longer one, or one back, delivers a new model."""
_SLICE = 5000
"""Events to fold ahead at once while the feed is idle."""
_PAINT_SECONDS = 0.3
"""Seconds between a batch and folding ahead, for the screens to paint: both need the interpreter."""
_PERIOD = 0.1
_CHECK_SECONDS = 1.0


class ReplayFeed(FeedThread):
    """Replays a run's journal.

    Args:
        run: the run's folder.
        at: the event to start at; None for the first.
        speed: as a multiple of the recorded one.
        playing: whether to play at once.
    """

    is_replay = True

    def __init__(self, run: Run, at: int | None = None, speed: float = SPEEDS[3], playing: bool = True) -> None:
        super().__init__(run)
        self.index: EventIndex | None = None
        """The run's event index; None before the first batch."""
        self.playing = playing
        self.speed = speed
        self.position = 0
        """The last delivered event."""
        self._wanted: int | None = at
        self._first = at is None
        self._clock = 0.0
        self._looked = 0.0
        self._checked = 0.0
        self._sent = 0.0
        self._lock = threading.Lock()

    # Called from the screens' thread

    def set_period(self, seconds: float) -> None:
        """Do nothing: the clock runs whether or not anybody looks."""

    def wake(self) -> None:
        """Do nothing: no event can be expected."""

    @property
    def aim(self) -> int:
        """The event shown, or that of a pending seek."""
        wanted = self._wanted
        return self.position if wanted is None else wanted

    @property
    def is_moving(self) -> bool:
        """Whether the clock runs."""
        return self.playing

    def now_ms(self) -> int:
        """Return the recorded time of the wall clock."""
        index = self.index
        return index.recorded(self._clock) if index is not None else 0

    def play(self, playing: bool) -> None:
        """Start or stop the clock."""
        with self._lock:
            self._looked = time.monotonic()
            self.playing = playing
        self._wake.set()

    def set_speed(self, speed: float) -> None:
        """Set the speed of the clock."""
        with self._lock:
            self._tick()
            self.speed = speed
        self._wake.set()

    def seek(self, seq: int) -> None:
        """Go to an event; of several calls the last one counts."""
        self._wanted = seq
        self._wake.set()

    # Runs in the feed's thread

    def _work(self) -> None:
        try:
            with JournalReader(self.run.db) as reader:
                self._play(reader)
        except (JournalError, OSError) as exc:
            _log.warning("%s", exc)
            self.playing = False
            self._post(Batch(self.run, False, trouble=str(exc)))
        finally:
            if not is_alive(self.run):
                make_plain(self.run.db)

    def _play(self, reader: JournalReader) -> None:
        index = EventIndex()
        index.extend(reader)
        reader.changed()
        timeline = Timeline(
            reader,
            lambda: RunModel(first_state(reader)),
            RunModel.fold,
            RunModel.copy,
            lambda model: model.state.nodes,
            leap=partial(essential_events, reader),
        )
        self.index = index
        if self._first:
            self._wanted = index.find("start")
        while not self._stopped.is_set():
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._go(reader, timeline, index, max(1, min(wanted, index.last)))
                continue
            with self._lock:
                self._tick()
                due = index.seq_at(self._clock) if self.playing else self.position
            if due > self.position:
                self._deliver(reader, index, due)
                continue
            if self._follow(reader, index):
                continue
            if timeline.reached < index.last and time.monotonic() - self._sent > _PAINT_SECONDS:
                timeline.grow(timeline.reached + _SLICE)
                continue
            ahead = timeline.reached < index.last
            self._pause(min(_PERIOD, self._seconds_to_next(index)) if ahead else self._seconds_to_next(index))

    def _tick(self) -> None:
        now = time.monotonic()
        if self.playing and self.index is not None:
            # Not past the end, so that the clock of a live run continues there when events come.
            self._clock = min(self._clock + (now - self._looked) * 1000 * self.speed, float(self.index.length))
        self._looked = now

    def _seconds_to_next(self, index: EventIndex) -> float:
        """Return the seconds until the next event."""
        if not self.playing:
            return _CHECK_SECONDS
        upcoming = index.next_clock(self.position)
        if upcoming is None:
            return _PERIOD
        return min(_CHECK_SECONDS, max(_PERIOD, (upcoming - self._clock) / 1000 / self.speed))

    def _go(self, reader: JournalReader, timeline: Timeline[RunModel], index: EventIndex, seq: int) -> None:
        self._set_clock(index, seq)
        if self.position and self.position <= seq <= self.position + _NEAR:
            while self.position < seq and self._wanted is None and not self._stopped.is_set():
                self._deliver(reader, index, seq)
            return
        model = timeline.at(seq)
        model.settle()
        self.position = seq
        self._looked = time.monotonic()
        self._send(Batch(self.run, index.has_engine(seq), model=model))

    def _set_clock(self, index: EventIndex, seq: int) -> None:
        with self._lock:
            self._clock = float(index.clock_of(seq))
            self._looked = time.monotonic()

    def _deliver(self, reader: JournalReader, index: EventIndex, upto: int) -> None:
        events: tuple[Event, ...] = tuple(islice(reader.events(self.position, upto), _BATCH))
        # Unknown kinds of events leave gaps; the place counts as reached at the end of a gap.
        self.position = events[-1].seq if len(events) == _BATCH else upto
        if self.position >= index.last and not is_alive(self.run):
            self.playing = False
        self._send(Batch(self.run, index.has_engine(self.position), events))

    def _follow(self, reader: JournalReader, index: EventIndex) -> bool:
        """Extend the index by what the run's engine has written since."""
        if time.monotonic() - self._checked < _CHECK_SECONDS:
            return False
        self._checked = time.monotonic()
        if not reader.changed():
            return False
        at_end = self.position >= index.last
        grown = index.extend(reader)
        if grown and at_end and self.playing:
            self._set_clock(index, self.position)
        return grown

    def _send(self, batch: Batch) -> None:
        super()._send(batch)
        self._sent = time.monotonic()
