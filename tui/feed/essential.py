"""Read a long past quickly: without the events that mattered only for a moment."""

from __future__ import annotations

from collections.abc import Iterator

from engine.journal.database import decode_row
from engine.journal.events import CallStarted, EvalProgress, Event, Telemetry
from engine.journal.reader import JournalReader

__all__ = ["essential_events"]

_PASSING = {EvalProgress.KIND, Telemetry.KIND, CallStarted.KIND}
"""Kinds that matter only until the next one; those of a long past are not decoded."""
_RECENT = 2000


def essential_events(reader: JournalReader, after: int, upto: int) -> Iterator[Event]:
    """Yield the events with `after < seq <= upto`, without outdated ones of kinds that matter only for a moment.

    Raises:
        JournalError: the journal cannot be read.
    """
    outdated = upto - _RECENT
    for row in reader.rows(after, upto):
        if row[2] in _PASSING and row[0] < outdated:
            continue
        event = decode_row(row, reader.path)
        if event is not None:
            yield event
