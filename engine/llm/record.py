"""Recorded calls: the answers of another run's models, to repeat a search without asking a model."""

from __future__ import annotations

from pathlib import Path

from engine.journal import events as ev
from engine.journal.events import REQUEST_KINDS
from engine.journal.reader import JournalReader

__all__ = ["Recorded"]

Place = tuple[int | None, int | None, str]
"""Round, node and key of a call."""


class Recorded:
    """Find the answers in a run's journal by role and prompt.

    Args:
        db: the other run's run.db.

    Raises:
        JournalError: the journal cannot be read.
    """

    def __init__(self, db: Path) -> None:
        self._reader = JournalReader(db)
        started = {event.data.call: event.data for event in self._reader.events_of(ev.CallStarted)
                   if isinstance(event.data, ev.CallStarted)}  # fmt: skip
        self._answers: dict[tuple[str, str], dict[Place, ev.CallDone]] = {}
        for event in self._reader.events_of(ev.CallDone):
            data = event.data
            assert isinstance(data, ev.CallDone)
            if data.call in started and (not data.error or data.fault in REQUEST_KINDS):
                found = self._answers.setdefault((data.role, started[data.call].prompt_blob), {})
                found[event.round, event.node, data.key] = data

    def find(self, role: str, prompt: str, place: Place) -> ev.CallDone | None:
        """Return the recorded answer to a prompt, given by its sha256: the one from the same place, else any."""
        found = self._answers.get((role, prompt))
        if found is None:
            return None
        return found.get(place) or next(iter(found.values()))

    def text(self, sha256: str) -> str:
        """Return a text of that run; empty for an empty name."""
        return self._reader.text(sha256)

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()
