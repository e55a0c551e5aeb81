"""Measure an evaluation's resource usage and compare it with its limits."""

from __future__ import annotations

import os

from .processes import Watch, read_pss
from .scratch import Scratch

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Usage"]


class Usage:
    """The usage of this process's descendants and of their writable folders.

    Args:
        limits: the job's limits.
        wrapped: whether each sandbox adds two processes of bubblewrap.
    """

    def __init__(self, limits: dict[str, Any], wrapped: bool) -> None:
        self.limits = limits
        self.wrapped = wrapped
        self.watch = Watch(os.getpid())
        # One file may reach `file_mb`, and a program may need a few such files.
        self.scratch = Scratch(int(max(4 * limits["file_mb"], 64)) * 2**20)
        self.cpu = 0.0
        """Seconds."""
        self.peak = 0.0
        """MiB."""
        self.excess: tuple[str, str] | None = None
        """The status to end with and a message about the exceeded limit; None if there is none."""

    def look(self, scratches: list[str], now: float) -> bool:
        """Compare usage with the limits; return whether it is near one, so that the next check should be soon.

        Args:
            scratches: the scratch folder of each sandbox.
            now: seconds on the evaluation's clock.
        """
        limits = self.limits
        own = 2 * self.wrapped * len(scratches)
        alive, cpu, resident = self.watch.look(int(limits["processes"]) + own)
        alive -= own
        memory = sum(resident.values())
        if memory > limits["memory_mb"] * 2**20:
            memory = 0
            for pid, size in resident.items():
                pss = read_pss(pid)
                memory += size if pss is None else pss
        self.cpu = max(self.cpu, cpu)
        self.peak = max(self.peak, memory / 2**20)
        self.scratch.look(scratches, now)
        if memory > limits["memory_mb"] * 2**20:
            self.excess = ("crashed", f"memory limit of {limits['memory_mb']} MiB")
        elif alive > limits["processes"]:
            self.excess = ("crashed", f"limit of {limits['processes']} processes")
        elif limits["cpu_seconds"] is not None and self.cpu > limits["cpu_seconds"]:
            self.excess = ("timeout", f"CPU time limit of {limits['cpu_seconds']:g} s")
        elif self.scratch.excess:
            self.excess = ("crashed", self.scratch.excess)
        return bool(memory > limits["memory_mb"] * 2**19) or alive > limits["processes"] / 2
