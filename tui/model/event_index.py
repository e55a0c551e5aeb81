"""The index of a journal's events: the time of each event, and the places of rounds, improvements and acts of people.

Replay moves by it. Recorded time has long gaps (an evaluation of an hour, a night's pause), so a replay has its own
clock, on which no gap is longer than `LONGEST_GAP_MS`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, islice
from operator import sub
from typing import Literal, NamedTuple

from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.reader import JournalReader

__all__ = ["LONGEST_GAP_MS", "EventIndex", "Mark", "MarkKind", "StepKind"]

LONGEST_GAP_MS = 5000
"""Milliseconds to which longer gaps between two events are shortened."""

MarkKind = Literal["best", "act", "pause", "engine"]
"""An improvement; an act of a person; the start or end of a pause; the start or end of an engine."""
StepKind = Literal["event", "round", "best", "act"]


class Mark(NamedTuple):
    """A marked place."""

    seq: int
    kind: MarkKind


_MARKS: dict[type[ev.Data], MarkKind] = {
    ev.BestCrowned: "best",
    ev.Injected: "act",
    ev.NodePinned: "act",
    ev.NodeUnpinned: "act",
    ev.NodePruned: "act",
    ev.NodeRestored: "act",
    ev.NodeStarred: "act",
    ev.NodeCommented: "act",
    ev.NodeRerun: "act",
    ev.SettingsChanged: "act",
    ev.ActUndone: "act",
    ev.PriorChanged: "act",
    ev.PriorAccepted: "act",
    ev.PriorRejected: "act",
    ev.RunForked: "act",
    ev.RunPaused: "pause",
    ev.RunResumed: "pause",
    ev.EngineStarted: "engine",
    ev.EngineGone: "engine",
    ev.RunStopped: "engine",
    ev.RunFinished: "engine",
    ev.RunFailed: "engine",
}
_KINDS = {kind.KIND: mark for kind, mark in _MARKS.items()}
_GOES = {
    ev.EngineStarted.KIND: True,
    ev.EngineGone.KIND: False,
    ev.RunStopped.KIND: False,
    ev.RunFinished.KIND: False,
    ev.RunFailed.KIND: False,
    ev.RunForked.KIND: False,
}


class EventIndex:
    """Places and times of a run's events; extend it while the run goes on."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self._places: dict[StepKind, array[int]] = {"round": array("q"), "best": array("q"), "act": array("q")}
        self._rounds: dict[int, int] = {}
        self._engines: list[tuple[int, bool]] = []
        self._seqs = array("q")
        self._ats = array("q")
        self._clock = array("q")

    @property
    def last(self) -> int:
        """The last event; 0 if there is none."""
        return self._seqs[-1] if self._seqs else 0

    @property
    def length(self) -> int:
        """The length of the run on the clock, in milliseconds."""
        return self._clock[-1] if self._clock else 0

    def extend(self, reader: JournalReader) -> bool:
        """Read the events since the last call; return whether there were any.

        Raises:
            JournalError: the journal cannot be read.
        """
        after = self.last
        for page in reader.times(after):
            seqs, ats = zip(*page, strict=True)
            gaps = map(sub, ats, (self._ats[-1] if self._ats else ats[0], *ats))
            steps = (0 if gap < 0 else LONGEST_GAP_MS if gap > LONGEST_GAP_MS else gap for gap in gaps)
            self._clock.extend(islice(accumulate(steps, initial=self.length), 1, None))
            self._ats.extend(ats)
            self._seqs.extend(seqs)
        for seq, kind, round_ in reader.places_of((*_MARKS, ev.RoundStarted, ev.RoundEnded), after):
            if seq > self.last:
                # Written between the two reads: the next call reads it.
                break
            if kind == ev.RoundStarted.KIND:
                self._rounds.setdefault(round_ or 0, seq)
            elif kind == ev.RoundEnded.KIND:
                self._places["round"].append(seq)
            else:
                self._mark(seq, kind)
        return self.last > after

    def _mark(self, seq: int, kind: str) -> None:
        mark = _KINDS[kind]
        self.marks.append(Mark(seq, mark))
        if kind in _GOES:
            self._engines.append((seq, _GOES[kind]))
        if mark == "best":
            self._places["best"].append(seq)
        elif mark in ("act", "pause"):
            self._places["act"].append(seq)

    def clock_of(self, seq: int) -> int:
        """Return the time of an event on the clock, in milliseconds."""
        place = bisect_right(self._seqs, seq) - 1
        return self._clock[place] if place >= 0 else 0

    def seq_at(self, clock: float) -> int:
        """Return the last event up to a time on the clock."""
        place = bisect_right(self._clock, int(clock)) - 1
        return self._seqs[place] if place >= 0 else 0

    def next_clock(self, seq: int) -> int | None:
        """Return the time of the event after a place on the clock; None at the end."""
        place = bisect_right(self._seqs, seq)
        return self._clock[place] if place < len(self._clock) else None

    def recorded(self, clock: float) -> int:
        """Return the recorded time at a time on the clock, in milliseconds since 1970."""
        place = bisect_right(self._clock, int(clock)) - 1
        return self._ats[place] + int(clock) - self._clock[place] if place >= 0 else 0

    def has_engine(self, seq: int) -> bool:
        """Return whether an engine was at work by the journal, which misses the end of a killed one."""
        place = bisect_right(self._engines, (seq, True)) - 1
        return place >= 0 and self._engines[place][1]

    def step(self, seq: int, kind: StepKind, by: int) -> int | None:
        """Return the next place of a kind after an event (`by` 1) or before it (-1); None if there is none."""
        places = self._seqs if kind == "event" else self._places[kind]
        index = bisect_right(places, seq) if by > 0 else bisect_left(places, seq) - 1
        return places[index] if 0 <= index < len(places) else None

    def find(self, text: str) -> int:
        """Parse a place: an event (`1234`), a share of the clock (`40%`), a round's start (`r12`), `start`, `end`.

        Raises:
            UsageError: the text is none of these, or there is no such place.
        """
        words = text.strip().casefold()
        if words in ("start", "end"):
            return (self._seqs[0] if self._seqs else 0) if words == "start" else self.last
        number = words.removesuffix("%") if words.endswith("%") else words.removeprefix("round").removeprefix("r")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(
                f"'{text.strip()[:40]}' is not a place", "As in 1234 (an event), 40%, r12, start, end"
            ) from None
        if words.endswith("%"):
            if not 0 <= value <= 100:
                raise UsageError("a share lies between 0% and 100%")
            return self.seq_at(self.length * value / 100)
        if words.startswith("r"):
            if value not in self._rounds:
                raise UsageError(f"there is no round {value:g}", f"The rounds are 0 to {max(self._rounds, default=0)}")
            return self._rounds[int(value)]
        if not 1 <= value <= self.last:
            raise UsageError(f"there is no event {value:g}", f"The events are 1 to {self.last:,}")
        return int(value)
