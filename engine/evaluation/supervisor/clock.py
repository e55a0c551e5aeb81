"""The clock of an evaluation."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """Count the seconds that an evaluation has been running, without the time it was frozen."""

    def __init__(self) -> None:
        self.before = 0.0
        self.since: float | None = time.monotonic()

    def now(self) -> float:
        return self.before + (time.monotonic() - self.since if self.since is not None else 0.0)

    def stop(self) -> None:
        self.before, self.since = self.now(), None

    def go(self) -> None:
        if self.since is None:
            self.since = time.monotonic()
