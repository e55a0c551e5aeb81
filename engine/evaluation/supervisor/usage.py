"""What an evaluation uses of the machine, held against its limits."""

from __future__ import annotations

import os

from .processes import Watch, read_pss
from .scratch import Scratch

TYPE_CHECKING = False  # typing's own constant without typing, which takes time to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Usage"]


class Usage:
    """The processes below this one and the folders they may write to.

    Args:
        limits: those of the job.
        wrapped: whether each sandbox adds two processes of bubblewrap.
    """

    def __init__(self, limits: dict[str, Any], wrapped: bool) -> None:
        self.limits = limits
        self.wrapped = wrapped
        self.watch = Watch(os.getpid())
        # A file may be as large as it likes below its own limit: a few of them are what a program may need.
        self.scratch = Scratch(int(max(4 * limits["file_mb"], 64)) * 2**20)
        self.cpu = 0.0
        """Seconds."""
        self.peak = 0.0
        """MiB."""
        self.excess: tuple[str, str] | None = None
        """The status that the evaluation ends with, and the limit it exceeds in words."""

    def look(self, scratches: list[str], now: float) -> bool:
        """Hold the tree against its limits; whether it is near one, so that the next look should be soon.

        Args:
            scratches: the folder of each sandbox that there is.
            now: what the evaluation's clock shows.
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
