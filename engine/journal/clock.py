"""Clocks: the wall clock, which people and time servers set, and a steady clock.

Events carry the time of the wall clock, for people. Durations are measured by the steady clock: it is never set, and it
stands still while the machine sleeps.
"""

from __future__ import annotations

import time
from typing import NamedTuple

__all__ = ["ClockStep", "StepWatch", "WallClock", "iso_time", "local_time", "local_zone", "now_ms", "steady_ms"]

_STEP_MS = 1000
"""Least deviation between two looks that counts as a step; a time server's slow correction moves the wall clock by less
than a thousandth."""


def now_ms() -> int:
    """Return the milliseconds since 1970, UTC, by the wall clock."""
    return time.time_ns() // 1_000_000


def iso_time(at: int) -> str:
    """Return milliseconds since 1970 as an ISO time, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))


def local_time(at: int) -> str:
    """Return milliseconds since 1970 as a date and time here, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at / 1000))


def local_zone() -> str:
    """Return the name of the time zone of `local_time` now, such as CET or UTC."""
    return time.strftime("%Z")


def steady_ms() -> int:
    """Return milliseconds from an arbitrary start, by a clock that is never set and that stands still in sleep."""
    return time.monotonic_ns() // 1_000_000


class WallClock:
    """Continue the wall clock's time by the steady clock, from when this clock was set."""

    def __init__(self) -> None:
        self._ahead = 0
        self.set()

    def set(self) -> None:
        """Take over the time of the wall clock."""
        self._ahead = now_ms() - steady_ms()

    def now_ms(self) -> int:
        """Return the milliseconds since 1970, UTC."""
        return steady_ms() + self._ahead


class ClockStep(NamedTuple):
    """The wall clock was set, or the machine slept."""

    by_ms: int
    """How far the wall clock moved beyond the time that passed; negative if it was set back."""
    passed_ms: int
    """How much time passed since the last look, by the steady clock."""


class StepWatch:
    """Read the wall clock, and detect steps against the steady clock."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def read(self) -> tuple[int, ClockStep | None]:
        """Return the wall clock's time in milliseconds, and its step since the last call, if any."""
        wall, steady = now_ms(), steady_ms()
        last, self._last = self._last, (wall, steady)
        if last is None:
            return wall, None
        passed = steady - last[1]
        by = wall - last[0] - passed
        return wall, ClockStep(by, passed) if abs(by) >= _STEP_MS else None
