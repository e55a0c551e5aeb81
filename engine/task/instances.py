"""Instances of a task: named sets of settings, each with a direction and a bound of its own."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

__all__ = ["Instance"]


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[instances.NAME]`: an instance of the task that a run may search instead of the one in `[settings]`."""

    summary: str = ""
    """One line, shown in lists."""
    settings: dict[str, Any] = {}
    """The settings that differ from `[settings]`."""
    direction: Literal["maximize", "minimize"] | None = None
    """Whether a higher or a lower score is better; by default as in the task."""
    bound: float | None = None
    """The best score that is possible; by default none is known, since the task's own is of its other instance."""
    bound_source: str = ""
    """Where that is proven; required with `bound`."""
    min_gain: float | None = None
    """Gain in score up to which two programs count as equal; by default as in the task."""

    def __post_init__(self) -> None:
        if self.bound is not None and not math.isfinite(self.bound):
            raise ValueError(f"`bound` must be a number, not {self.bound}")
        if (self.bound is None) != (not self.bound_source.strip()):
            raise ValueError("`bound` and `bound_source` belong together: say where the bound is proven")
