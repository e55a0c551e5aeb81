"""The one thing that a feed delivers, and what a feed can be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.journal.events import Event, Telemetry
from engine.journal.live import LiveRow
from engine.runs.folder import Run
from tui.model.run_model import RunModel

__all__ = ["Batch", "Feed", "FeedMaker", "Post"]


@dataclass(frozen=True)
class Batch:
    """Some news of a run, in order. The next one comes only after this one is acknowledged."""

    run: Run
    """Where the run is now; it may have been moved."""
    alive: bool
    """Whether an engine holds the run."""
    events: tuple[Event, ...] = ()
    """What happened since the batch before."""
    model: RunModel | None = None
    """A model that replaces the one before, at the start and after a seek. The feed never touches it again."""
    trouble: str = ""
    """Why there is no news; the feed goes on trying."""
    telemetry: Telemetry | None = None
    """What the machine is at now, where that is known."""
    streams: tuple[LiveRow, ...] = ()
    """Pieces of what models write, after the events."""


Post = Callable[[Batch], None]
"""Hands a batch to the screens; called from the feed's thread."""


class Feed(Protocol):
    """Where batches come from. Every method is called from the screens' thread and returns at once."""

    run: Run
    is_replay: bool
    """Whether it shows what was recorded: nothing can be asked of the run then."""

    @property
    def is_moving(self) -> bool:
        """Whether its clock runs."""

    def start(self, post: Post) -> None:
        """Begin; the first batch holds a model."""

    def acknowledge(self) -> None:
        """The last batch is folded in: the next one may come."""

    def set_period(self, seconds: float) -> None:
        """How often to look for news."""

    def wake(self) -> None:
        """Look often for a few seconds, since news is expected."""

    def now_ms(self) -> int:
        """The time that the run's events are to be compared with."""

    def stop(self) -> None:
        """End, without waiting for the thread."""

    def wait(self, seconds: float) -> None:
        """After `stop`: wait until the journal is let go."""


FeedMaker = Callable[[Run], Feed]
