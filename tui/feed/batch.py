"""The batch, which a feed delivers, and the protocol of feeds."""

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
    """Changes of a run, in order. The next batch comes only after this one is acknowledged."""

    run: Run
    """The run's folder now; it may have been moved."""
    alive: bool
    """Whether an engine holds the run."""
    events: tuple[Event, ...] = ()
    """Events since the batch before."""
    model: RunModel | None = None
    """A model that replaces the previous one, at the start and after a seek. The feed never touches it again."""
    trouble: str = ""
    """Why the run cannot be read; the feed goes on trying."""
    telemetry: Telemetry | None = None
    """The current telemetry of the machine, if it is known."""
    streams: tuple[LiveRow, ...] = ()
    """What models and evaluations have written lately, to be added after the events."""


Post = Callable[[Batch], None]
"""Pass a batch to the screens; called from the feed's thread."""


class Feed(Protocol):
    """The source of batches. Every method is called from the screens' thread and returns at once."""

    run: Run
    is_replay: bool
    """Whether it replays recorded events, so that the run cannot be steered."""

    @property
    def is_moving(self) -> bool:
        """Whether its clock runs."""

    def start(self, post: Post) -> None:
        """Start; the first batch holds a model."""

    def acknowledge(self) -> None:
        """Ask for the next batch: the last one is folded in."""

    def set_period(self, seconds: float) -> None:
        """Set the seconds between two polls."""

    def wake(self) -> None:
        """Poll often for a few seconds, since events are expected."""

    def now_ms(self) -> int:
        """Return the time to measure the age of events against."""

    def stop(self) -> None:
        """Stop, without waiting for the thread."""

    def wait(self, seconds: float) -> None:
        """After `stop`: wait until the journal is closed."""


FeedMaker = Callable[[Run], Feed]
