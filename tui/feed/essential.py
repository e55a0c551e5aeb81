"""Read a long past quickly: without the events that mattered only for a moment."""

from __future__ import annotations

from collections.abc import Iterator

from engine.journal.events import CallStarted, EvalProgress, Event, Telemetry
from engine.journal.reader import JournalReader

__all__ = ["essential_events"]

_PASSING = (EvalProgress, Telemetry, CallStarted)
"""Kinds that matter only until the next one; those of a long past are not read."""
_RECENT = 2000


def essential_events(reader: JournalReader, after: int, upto: int) -> Iterator[Event]:
    """Yield the events with `after < seq <= upto`, without outdated ones of kinds that matter only for a moment.

    Raises:
        JournalError: the journal cannot be read.
    """
    outdated = max(after, upto - _RECENT)
    yield from reader.events(after, outdated, without=_PASSING)
    yield from reader.events(outdated, upto)
