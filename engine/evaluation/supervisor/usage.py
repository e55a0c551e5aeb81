"""Measure an evaluation's resource usage and compare it with its limits."""

from __future__ import annotations

import os
import resource

from .hidden import Hidden, count_folders, count_open_files
from .processes import Watch, read_pss
from .scratch import MOST_FILES, Scratch

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

    from .box import Box
    from .cgroup import Cgroup

__all__ = ["Usage"]

_INODE = 1024
"""Bytes of the kernel's own memory for a file, roughly."""


class Usage:
    """The usage of this process's descendants and of their writable folders.

    Args:
        job: the job, with its limits.
        cgroup: the evaluation's cgroup; None if there is none.
    """

    def __init__(self, job: dict[str, Any], cgroup: Cgroup | None) -> None:
        self.limits = job["limits"]
        self.wrapped = job["sandbox"] == "bubblewrap"
        self.trusted = bool(job["trusted"])
        self.cgroup = cgroup
        self.in_memory = bool(job["scratch_in_memory"])
        self.counted = cgroup is not None and cgroup.counts_memory
        """Whether the kernel counts memory, so that nothing can hide."""
        self.watch = Watch(os.getpid())
        self.hidden = None if self.counted else Hidden(int(self.limits["memory_mb"] * 2**20))
        self.scratch_limit = job["scratch_mb"] * 2**20
        self.scratch = Scratch(self.scratch_limit)
        self.cpu = 0.0
        """Seconds."""
        self.peak = 0.0
        """MiB."""
        self.excess: tuple[str, str] | None = None
        """The status to end with and a message about the exceeded limit; None if there is none."""

    def look(self, boxes: list[Box], scratches: list[str], now: float) -> bool:
        """Compare usage with the limits; return whether it is near one, so that the next check should be soon.

        Args:
            boxes: the sandboxes that exist.
            scratches: their scratch folders on disk.
            now: seconds on the evaluation's clock.
        """
        limits, most = self.limits, self.limits["memory_mb"] * 2**20
        alive, memory = self.measure(boxes)
        self.peak = max(self.peak, memory / 2**20)
        folders = [count_folders(box.folders) for box in boxes]
        self.scratch.look(scratches, now)
        if self.cgroup is not None and self.cgroup.oom_kills():
            self.peak = max(self.peak, limits["memory_mb"])
            memory = most + 1
        if memory > most:
            self.excess = ("crashed", f"memory limit of {limits['memory_mb']} MiB")
        elif alive > limits["processes"]:
            self.excess = ("crashed", f"limit of {limits['processes']} processes")
        elif limits["cpu_seconds"] is not None and self.cpu > limits["cpu_seconds"]:
            self.excess = ("timeout", f"CPU time limit of {limits['cpu_seconds']:g} s")
        elif any(counts[0][0] > self.scratch_limit for counts in folders if counts):  # the first is the scratch folder
            self.excess = ("crashed", f"scratch limit of {self.scratch_limit // 2**20} MiB")
        elif any(files > MOST_FILES for counts in folders for _, files in counts):
            self.excess = ("crashed", f"scratch limit of {MOST_FILES} files")
        elif self.scratch.excess:
            self.excess = ("crashed", self.scratch.excess)
        elif self.hidden is not None and self.hidden.excess:
            self.excess = ("crashed", self.hidden.excess)
        return bool(memory > most / 2) or alive > limits["processes"] / 2

    def descendants(self, pid: int) -> list[int]:
        """Return the processes that one of this process's children has started."""
        return self.watch.below(pid, int(self.limits["processes"]))

    def measure(self, boxes: list[Box]) -> tuple[int, int]:
        """Return the live processes and the bytes that they use, and add up their CPU time."""
        alive = memory = 0
        if self.cgroup is not None:
            self.cpu = max(self.cpu, self.cgroup.cpu_seconds())
            alive, memory = self.cgroup.count(), self.cgroup.memory_bytes()
            if self.counted and self.in_memory:
                return alive, memory
        # Without a sandbox a process of the same user may leave the group, so both are counted.
        own = 2 * self.wrapped * (sum(not box.forked for box in boxes) - self.trusted)
        found, cpu, resident = self.watch.look(int(self.limits["processes"]) + own)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = max(self.cpu, used.ru_utime + used.ru_stime + cpu, self.watch.seen())
        pids = list(resident)
        unnamed, self.scratch.unnamed = count_open_files(pids)
        seen = sum(resident.values())
        if self.hidden is not None:
            files = sum(size + count * _INODE for box in boxes for size, count in count_folders(box.folders))
            seen += self.hidden.look(pids, files + unnamed)
        if seen > self.limits["memory_mb"] * 2**20:
            shares = {pid: read_pss(pid) for pid in pids}
            seen += sum(pss - resident[pid] for pid, pss in shares.items() if pss is not None)
        # Where this user is root nothing else bounds threads.
        crowd = self.watch.threads > self.limits["processes"] * 16 + 256
        return max(alive, found - own, crowd * (int(self.limits["processes"]) + 1)), max(memory, seen)
