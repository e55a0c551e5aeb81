"""One act of a person that can be taken back."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.journal.events import Event

__all__ = ["Act"]


class Act(msgspec.Struct, frozen=True):
    """What a command of a person did."""

    seq: int
    """The event that answered it."""
    at: int
    """Its time, in milliseconds."""
    name: str
    """The kind of the command."""
    text: str
    """Its answer, for people."""
    events: tuple[Event, ...]
    """What it did."""
    before: Any = None
    """Of `set` the former values, of `arm` the former pause."""
