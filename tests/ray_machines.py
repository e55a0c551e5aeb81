"""A Ray cluster on this machine, driven through a process of its own (`ray_cluster.py`), and what runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

__all__ = ["RayCluster"]

_END_SECONDS = 240.0
"""That no cluster takes to end, however busy the machine is."""


class RayCluster:
    """A head without slots, and machines that come and go.

    Args:
        folder: for its files; Ray's sockets need a short path.
        environment: further variables of its processes.
        prefix: a command that starts another one, such as in a cgroup.
    """

    def __init__(self, folder: Path, environment: dict[str, str], prefix: Sequence[str] = ()) -> None:
        self.scratch = folder / "nodes"
        script = Path(__file__).with_name("ray_cluster.py")
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        self.address = self._line()
        self.raylets: dict[str, int] = {}

    def _line(self) -> str:
        out: IO[str] | None = self._process.stdout
        assert out is not None
        line = out.readline().strip()
        assert line, "the cluster has ended"
        return line

    def _order(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._line())

    def add(self, name: str, cpus: int = 2) -> None:
        """Let a machine join."""
        self.raylets[name] = self._order(f"add {name} {cpus}")

    def kill(self, name: str) -> None:
        """Let a machine die at once."""
        self._order(f"kill {name}")
        del self.raylets[name]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def settings(self) -> dict[str, str]:
        """What a run's settings say of it."""
        return {"name": "ray", "address": self.address, "scratch": str(self.scratch)}

    def evaluations(self) -> set[int]:
        """Return the processes of evaluations on its machines: supervisors and what they started."""
        return {pid for pid, command in _commands() if str(self.scratch / "work") in command}

    def worker(self) -> int:
        """Return the Ray worker that started an evaluation: the parent of its first process."""
        while True:
            found = self.evaluations()
            try:
                parents = {_parent_of(pid) for pid in found} - found
            except OSError:
                continue  # one ended at this moment
            for parent in parents:
                if parent in self._workers():
                    return parent

    def _workers(self) -> set[int]:
        return {pid for pid, command in _commands() if command.startswith("ray::")}


def _commands() -> Iterator[tuple[int, str]]:
    """Yield the id and the command line of each living process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
