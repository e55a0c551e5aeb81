"""Clocks: the one on the wall, which people and time servers set, and one that nobody sets.

What is recorded carries the wall's time, for people. Durations are measured by the steady clock: it knows no steps, and
it stands still while the machine sleeps.
"""

from __future__ import annotations

import time
from typing import NamedTuple

__all__ = ["ClockStep", "StepWatch", "WallClock", "iso_time", "now_ms", "steady_ms"]

_STEP_MS = 1000
"""By so much the wall clock must have moved too far between two looks to have been set; a time server's slow correction
moves it by less than a thousandth."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC, by the clock on the wall."""
    return time.time_ns() // 1_000_000


def iso_time(at: int) -> str:
    """Milliseconds since 1970 as an ISO time, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))


def steady_ms() -> int:
    """Milliseconds from an arbitrary start, by a clock that nobody sets and that stands still in a machine's sleep."""
    return time.monotonic_ns() // 1_000_000


class WallClock:
    """The wall's time as it was when this clock was set, moved on by the steady clock."""

    def __init__(self) -> None:
        self._ahead = 0
        self.set()

    def set(self) -> None:
        """Take the wall's time over."""
        self._ahead = now_ms() - steady_ms()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return steady_ms() + self._ahead


class ClockStep(NamedTuple):
    """The wall clock was set, or the machine slept."""

    by_ms: int
    """How far the wall clock moved beyond the time that passed; negative where it was set back."""
    passed_ms: int
    """How much time passed since the look before, by the steady clock."""


class StepWatch:
    """Reads the wall clock and tells when it has not moved as time did."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def read(self) -> tuple[int, ClockStep | None]:
        """The wall's time in milliseconds, and its step since the last call if it made one."""
        wall, steady = now_ms(), steady_ms()
        last, self._last = self._last, (wall, steady)
        if last is None:
            return wall, None
        passed = steady - last[1]
        by = wall - last[0] - passed
        return wall, ClockStep(by, passed) if abs(by) >= _STEP_MS else None
