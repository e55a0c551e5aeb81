"""A cgroup that counts the CPU time of a command and of all that comes of it, whoever waits for it or not.

What the kernel adds to a parent that waits (`getrusage`) misses the processes that end with their PID namespace: they
are reaped without being added to anyone, and a sandbox is such a namespace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from engine.evaluation.cgroups import find_cgroups

__all__ = ["Group", "make_group"]


class Group:
    """A group of version 1 or 2, below the place where the engine makes those of its evaluations."""

    def __init__(self, parent: Path, version: str) -> None:
        """Make the group.

        Raises:
            OSError: it cannot be made.
        """
        self.version = version
        self._folder = self._leaf = parent / f"bench-{os.getpid()}-{time.monotonic_ns()}"
        self._folder.mkdir()
        try:
            self._share_out()
        except OSError:
            self.remove()
            raise

    def start_in(self, command: Sequence[str]) -> list[str]:
        """Return the command that starts another one in this group, as the same process."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._leaf / "cgroup.procs"), *command]

    def cpu(self) -> float:
        """Return the CPU seconds used in the group so far."""
        if self.version == "v1":
            return int((self._folder / "cpuacct.usage").read_text()) / 1e9
        lines = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        return int(lines["usage_usec"]) / 1e6

    def commands(self) -> dict[int, str]:
        """Return the command lines of the processes in it, by their ids; those that have ended have none."""
        found = {}
        for path, _, _ in os.walk(self._folder):
            try:
                pids = Path(path, "cgroup.procs").read_text().split()
            except OSError:
                continue  # it was removed at this moment
            for pid in pids:
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                except OSError:
                    continue  # it has ended
                if words:
                    found[int(pid)] = words.decode("utf-8", "replace")
        return found

    def remove(self) -> None:
        """Remove the group with the empty ones below it; no process may be left in it."""
        deadline = time.monotonic() + 5.0
        while True:
            try:
                for folder in sorted(self._folder.rglob("*/"), reverse=True):
                    folder.rmdir()
                self._folder.rmdir()
                return
            except OSError:
                # A process that was reaped a moment ago may still be counted in it.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _share_out(self) -> None:
        """Make this group the one below which the engine makes its own, as the nearest that shares out memory."""
        if self.version == "v1":
            return
        there = (self._folder / "cgroup.controllers").read_text().split()
        shared = [name for name in ("memory", "pids") if name in there]
        if shared:
            (self._folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in shared))
            # A group that shares out anything has no processes of its own.
            self._leaf = self._folder / "main"
            self._leaf.mkdir()


def make_group() -> Group | None:
    """Return a new group, or None where none can be made."""
    parents = find_cgroups().parents
    for hierarchy, version in (("cpuacct", "v1"), ("unified", "v2")):
        if hierarchy in parents:
            try:
                return Group(Path(parents[hierarchy]), version)
            except OSError:
                continue
    return None
