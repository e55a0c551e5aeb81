"""What comes of an evaluation, and the machine that measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from engine.evaluation.sandbox import Level
from engine.journal.events import Status

__all__ = ["Outcome", "Place"]


@dataclass(frozen=True)
class Place:
    """A machine that measured an outcome."""

    host: str
    """Its name."""
    machine: str
    """Names its `facts`."""
    facts: tuple[tuple[str, str], ...]
    """What scores may depend on: processor, GPU and its driver, versions."""


@dataclass(frozen=True)
class Outcome:
    """The result of an evaluation."""

    status: Status
    score: float | None
    """Finite if the status is `ok`, else None."""
    metrics: dict[str, Any]
    """The other values that `evaluate` returned: finite numbers, strings, booleans, None, short lists of numbers."""
    reason: str
    """Why the status is not `ok`, one line; empty if it is."""
    guarantee: Literal["guarded", "open"]
    sandbox: Level
    seconds: float
    """Wall-clock time, without the time it was frozen."""
    cpu_seconds: float
    peak_mb: float
    """Peak memory of all its processes together, in MiB."""
    stdout: bytes
    """The first and last 64 KiB of the output, as raw bytes."""
    stderr: bytes
    built: str = ""
    """What a build made: JSON of contents in base64 by name. It is as trustworthy as the candidate."""
    feedback: str = ""
    """What the evaluator says in words, for designs from this program; at most 20,480 characters."""
    picture: str = ""
    """What the evaluator drew, as JSON; at most 131,072 characters."""
    construction: str = ""
    """What the evaluator kept for later programs to improve, as JSON; at most 524,288 characters."""
    place: Place | None = None
    """The machine that measured it; None for the engine's own."""
