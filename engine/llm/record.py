"""Recorded calls: the answers of another run's models, to repeat a search without asking a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from engine.journal import events as ev
from engine.journal.events import REQUEST_KINDS
from engine.journal.reader import JournalReader
from engine.llm.messages import Message, PromptSize, WritePrompt

__all__ = ["Place", "Recorded", "clean", "written"]

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
        self._asked: dict[tuple[str, Place], ev.CallStarted] = {}
        self._answers: dict[tuple[str, str], dict[Place, ev.CallDone]] = {}
        for event in self._reader.events_of(ev.CallDone):
            data = event.data
            assert isinstance(data, ev.CallDone)
            if data.call in started and (not data.error or data.fault in REQUEST_KINDS):
                found = self._answers.setdefault((data.role, started[data.call].prompt_blob), {})
                found[event.round, event.node, data.key] = data
                self._asked[data.role, (event.round, event.node, data.key)] = started[data.call]

    def find(self, role: str, prompt: str, place: Place) -> ev.CallDone | None:
        """Return the recorded answer to a prompt, given by its sha256: the one from the same place, else any."""
        found = self._answers.get((role, prompt))
        if found is None:
            return None
        return found.get(place) or next(iter(found.values()))

    def asked(self, role: str, place: Place) -> ev.CallStarted | None:
        """Return how the model was asked whose answer was used at a place; None if none was."""
        return self._asked.get((role, place))

    def text(self, sha256: str) -> str:
        """Return a text of that run; empty for an empty name."""
        return self._reader.text(sha256)

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()


def written(
    write: WritePrompt, size: PromptSize, schema: dict[str, Any] | None, before: Sequence[Message] = ()
) -> tuple[list[Message], bytes]:
    """Write a prompt; return its messages and the JSON by which it is recorded and found again.

    Args:
        write: writes it.
        size: how long it may be.
        schema: of the answer.
        before: the conversation that it continues.
    """
    said = write(replace(size, again=True) if before else size)
    messages = [*before, *(Message(message.role, clean(message.content)) for message in said)]
    return messages, msgspec.json.encode({"messages": messages, "schema": schema})


def clean(text: str) -> str:
    """Replace what UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()
