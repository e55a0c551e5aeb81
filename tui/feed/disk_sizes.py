"""The disk space of runs, measured one after the other in a thread and remembered."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.runs.disk import disk_bytes
from engine.runs.folder import Run

__all__ = ["DiskSizes"]

_AGAIN_SECONDS = 30.0


class DiskSizes:
    """Knows the disk space of runs; what it does not know yet it measures in a thread.

    Args:
        measured: called from the thread after measurements.
    """

    def __init__(self, measured: Callable[[], None]) -> None:
        self._measured = measured
        self._known: dict[Path, tuple[object, float, int]] = {}
        self._wanted: queue.SimpleQueue[tuple[Run, object] | None] = queue.SimpleQueue()
        self._pending: set[Path] = set()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._work, name="disk-sizes", daemon=True).start()

    def stop(self) -> None:
        """Stop after the measurement that goes on."""
        self._wanted.put(None)

    def of(self, run: Run, moment: object) -> int | None:
        """Return a run's bytes as last measured, None before that; measure them again if the run has changed.

        Args:
            run: the run.
            moment: differs after the run has changed. A run that changes all the time is measured every half minute.
        """
        known = self._known.get(run.folder)
        stale = known is None or (known[0] != moment and time.monotonic() - known[1] > _AGAIN_SECONDS)
        if stale and run.folder not in self._pending:
            self._pending.add(run.folder)
            self._wanted.put((run, moment))
        return None if known is None else known[2]

    def _work(self) -> None:
        told = 0.0
        while (wanted := self._wanted.get()) is not None:
            run, moment = wanted
            now = time.monotonic()
            self._known[run.folder] = (moment, now, disk_bytes(run))
            self._pending.discard(run.folder)
            # Of many runs not each one alone: whoever is told looks at all of them.
            if self._wanted.empty() or now - told > 1.0:
                told = now
                self._measured()
