"""Compute a run's state at any event: keep some states in memory, and fold from the nearest one.

Kept states are only a cache: everything else is read from the journal again.
"""

from __future__ import annotations

import copy
import gc
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import msgspec

from engine.journal.events import Event
from engine.journal.reader import JournalReader
from engine.state.fold import apply, damage_named, first_state
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["Timeline", "copy_state", "run_timeline", "uncollected"]

_EVERY = 5_000
_FAR = 10_000
_MOST_WEIGHT = 300_000
"""Most nodes of all kept states together; neighbouring states share most of theirs."""

S = TypeVar("S")


class Timeline(Generic[S]):
    """Compute a run's state after any prefix of its events, with a bounded number of events to fold.

    Use it from the thread of its reader.

    Args:
        reader: the run's journal.
        make: returns the state after the first event.
        fold: folds one event into a state.
        twin: returns a copy of a state that shares nothing that folding changes.
        nodes: returns the list of nodes in a state; its length bounds the memory.
        every: events between two kept states; doubled when they hold too many nodes together.
        leap: returns the events after one place and up to another that a state far ahead, folded once and not kept,
            needs; by default all of them.
    """

    def __init__(
        self,
        reader: JournalReader,
        make: Callable[[], S],
        fold: Callable[[S, Event], object],
        twin: Callable[[S], S],
        nodes: Callable[[S], list[Node]],
        every: int = _EVERY,
        leap: Callable[[int, int], Iterable[Event]] | None = None,
    ) -> None:
        self._reader = reader
        self._leap = leap or reader.events
        self._make = make
        self._fold = fold
        self._twin = twin
        self._nodes = nodes
        self._every = every
        self._head = make()
        self.reached = 1
        """The last event folded so far, from the start of the run on."""
        self._kept: list[tuple[int, S]] = []

    def grow(self, upto: int) -> None:
        """Fold up to an event and keep states on the way; a run may be folded in slices.

        Raises:
            JournalError: the journal cannot be read, or does not fold.
        """
        upto = min(upto, self._reader.last_seq())
        with uncollected():
            while self.reached < upto:
                end = min(upto, (self.reached // self._every + 1) * self._every)
                self._take(self._head, self.reached, end)
                self.reached = end
                if end % self._every == 0:
                    self._keep()

    def at(self, seq: int) -> S:
        """Return the state after the events up to one of them, for the caller to change; it includes the first event.

        Raises:
            JournalError: the journal cannot be read, or does not fold.
        """
        with uncollected():
            if seq > self.reached + _FAR:
                # The caller waits for this state only; those on the way can be kept later.
                state = self._twin(self._head)
                with damage_named(self._reader.path):
                    for event in self._leap(self.reached, seq):
                        self._fold(state, event)
                return state
            if seq >= self.reached:
                self.grow(seq)
                return self._twin(self._head)
            place = bisect_right(self._kept, seq, key=lambda kept: kept[0]) - 1
            after, state = (self._kept[place][0], self._twin(self._kept[place][1])) if place >= 0 else (1, self._make())
            self._take(state, after, seq)
            return state

    def _take(self, state: S, after: int, upto: int) -> None:
        with damage_named(self._reader.path):
            for event in self._reader.events(after, upto):
                self._fold(state, event)

    def _keep(self) -> None:
        state = self._twin(self._head)
        if self._kept:
            # Kept states never change, so nodes that are equal in both can be shared.
            before, now = self._nodes(self._kept[-1][1]), self._nodes(state)
            now[: len(before)] = [old if old == new else new for old, new in zip(before, now, strict=False)]
        self._kept.append((self.reached, state))
        while len(self._kept) > 1 and sum(len(self._nodes(state)) for _, state in self._kept) > _MOST_WEIGHT:
            self._every *= 2
            self._kept = [kept for kept in self._kept if kept[0] % self._every == 0]


def run_timeline(reader: JournalReader, every: int = _EVERY) -> Timeline[RunState]:
    """Return the timeline of a run's `RunState`."""
    return Timeline(reader, lambda: first_state(reader), apply, copy_state, lambda state: state.nodes, every)


def copy_state(state: RunState) -> RunState:
    """Return an independent copy of a state; the two share events and metrics, which no fold changes."""
    twin = RunState.__new__(RunState)
    for name, value in vars(state).items():
        vars(twin)[name] = _copied(value)
    return twin


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return _items(value) if value and _changes(value[0]) else value.copy()
    if isinstance(value, dict):
        changing = _changes(next(iter(value.values()), None))
        return dict(zip(value, _items(value.values()), strict=True)) if changing else value.copy()
    if _changes(value):
        return _items([value])[0]
    return value.copy() if isinstance(value, set) else value


def _changes(item: Any) -> bool:
    """Return whether a fold changes this item; events are frozen."""
    return isinstance(item, msgspec.Struct) and not item.__struct_config__.frozen


def _items(items: Iterable[Any]) -> list[Any]:
    twins = [copy.copy(item) for item in items]
    if not isinstance(twins[0], Node):
        # The values in a node are replaced, never changed.
        for twin in twins:
            for name in twin.__struct_fields__:
                setattr(twin, name, _copied(getattr(twin, name)))
    return twins


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspend garbage collection while many objects are made: it would scan them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
