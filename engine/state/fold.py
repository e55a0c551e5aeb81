"""Fold events into the state of a run: `apply` is the only code that turns events into state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import DamagedJournal, JournalError
from engine.journal import events as ev
from engine.journal.events import Event
from engine.journal.reader import JournalReader
from engine.state.handlers import HANDLERS
from engine.state.run_state import RunState

__all__ = ["apply", "damage_named", "first_state", "fold", "fold_run"]

_UNCOUNTED = frozenset((ev.EngineStarted, ev.EngineGone, ev.RunForked, ev.ClockStepped))
"""The time before these events is not engine time: no engine was at work, or the event itself says how long it was."""
_BY_TYPE = {ev.DATA_KINDS[kind]: handler for kind, handler in HANDLERS.items()}


def apply(state: RunState, event: Event) -> None:
    """Fold one event into a state; events come in order of `seq`.

    Raises:
        DamagedJournal: the event contradicts those before it.
    """
    seq, at, _, _, data = event
    kind = type(data)
    if state.status == "running" and not state.engine_gone and kind not in _UNCOUNTED:
        passed = at - state.at
        if passed > 0:
            state.engine_ms += passed
    state.seq = seq
    state.at = at
    handler = _BY_TYPE.get(kind)
    if handler is None:
        return
    try:
        handler(state, event, data)
    except (LookupError, TypeError, ValueError) as exc:
        raise DamagedJournal(f"{data.KIND}: {exc}", seq) from exc


def fold(events: Iterable[Event]) -> RunState:
    """Return the state after some events; the first must start the run.

    Raises:
        DamagedJournal: there is no such event, or events contradict each other.
    """
    rest = iter(events)
    first = next(rest, None)
    if first is None:
        raise DamagedJournal("it has no event")
    state = RunState(first)
    for event in rest:
        apply(state, event)
    return state


def first_state(reader: JournalReader) -> RunState:
    """Return the state after the first event of a journal.

    Raises:
        JournalError: the journal cannot be read, or holds no run.
    """
    with damage_named(reader.path):
        first = next(reader.events(upto=1), None)
        if first is None or not isinstance(first.data, ev.RunStarted):
            raise JournalError(f"{reader.path} holds no run: its first event is missing")
        return RunState(first)


def fold_run(reader: JournalReader, upto: int | None = None) -> RunState:
    """Return the state after a journal's events, all or up to one.

    Raises:
        JournalError: the journal is damaged or holds no run.
    """
    state = first_state(reader)
    with damage_named(reader.path):
        for event in reader.events(after=state.seq, upto=upto):
            apply(state, event)
    return state


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn errors of folding into a `DamagedJournal` that names the file."""
    try:
        yield
    except DamagedJournal as exc:
        raise DamagedJournal(exc.reason, exc.seq, path) from exc
    except (LookupError, TypeError, ValueError) as exc:
        # A sampler, a designer or a view that folds the same events fails on the same damage.
        raise DamagedJournal(str(exc), where=path) from exc
