"""What a command and all processes that come of it cost, as the kernel counts it.

A cgroup counts the CPU time. Where none can be made, it is that of the living processes plus that of the reaped ones,
which the kernel adds to whoever waits for them (`getrusage`, and fields 16 and 17 of `/proc/PID/stat`). Bytes written
are those of `/proc/PID/io`, to which the kernel adds those of reaped children as well. A process whose parent ended
comes to this process, which is made the reaper of its descendants.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.peers.group import make_group

__all__ = ["Mark", "Tree"]

_SET_CHILD_SUBREAPER = 36
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Mark:
    """What was spent up to a moment."""

    at: float
    """Seconds of the monotonic clock."""
    cpu: float
    """CPU seconds of all processes, the reaped ones included."""
    main_cpu: float
    """CPU seconds of the main process alone."""


@dataclass(frozen=True)
class _Process:
    parent: int
    own: float
    reaped: float


class Tree:
    """The processes of one command; use it as a context."""

    def __init__(self) -> None:
        self.group = make_group()
        """The cgroup that counts the CPU time, if one can be made."""
        self.main: subprocess.Popen[bytes] | None = None
        self.peak_mb = 0.0
        """Most resident memory of the main process so far."""
        self._before: set[int] = set()
        self._reaped = self._wrote = 0.0
        self._ended: dict[int, float] = {}
        """CPU seconds of the ended threads of each process."""

    def __enter__(self) -> Tree:
        _be_reaper(True)
        self._before = {pid for pid, process in _processes().items() if process.parent == os.getpid()}
        self._reaped, self._wrote = _reaped_children(), _written()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        _be_reaper(False)
        if self.group is not None:
            self.group.remove()

    def start(self, command: Sequence[str], folder: Path, environment: dict[str, str], log: IO[bytes]) -> None:
        """Start the main process in a session of its own."""
        if self.group is not None:
            command = self.group.start_in(command)
        self.main = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip

    @property
    def counted_by(self) -> str:
        """What counts the CPU time of all processes."""
        return "getrusage" if self.group is None else f"cgroup {self.group.version}"

    def running(self) -> bool:
        """Return whether the main process runs, and note its memory."""
        assert self.main is not None
        self.peak_mb = max(self.peak_mb, _peak_mb(self.main.pid))
        return self.main.poll() is None

    def mark(self) -> Mark:
        """Return what has been spent so far."""
        assert self.main is not None
        cpu = self.reaped_cpu() if self.group is None else self.group.cpu()
        main = _process(self.main.pid)
        return Mark(time.monotonic(), cpu, self._own(self.main.pid, main.own) if main else 0.0)

    def reaped_cpu(self) -> float:
        """Return the CPU seconds of the living processes and of those that were waited for."""
        found = _processes()
        members = {pid: found[pid] for pid in self._members(found)}
        living = sum(self._own(pid, process.own) + process.reaped for pid, process in members.items())
        return _reaped_children() - self._reaped + living

    def kill_main(self) -> None:
        """End the main process as a shortage of memory would, by SIGKILL."""
        assert self.main is not None
        os.kill(self.main.pid, signal.SIGKILL)

    def end(self) -> None:
        """End and reap all that is left."""
        if self.main is None:
            return
        if self.main.poll() is None:
            self.main.kill()
            self.main.wait()
        deadline = time.monotonic() + 30.0
        while left := self._members(_processes()):
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    pass  # it has ended, or its parent is yet to end
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes {sorted(left)} do not end")
            time.sleep(0.005)

    def written(self) -> int:
        """Return the bytes that the processes reaped so far wrote to storage; nothing is counted on a tmpfs."""
        return int(_written() - self._wrote)

    def _own(self, pid: int, ticks: float) -> float:
        """Return a process's own CPU seconds: its living threads to the nanosecond, and the ended ones in ticks."""
        living = _threads(pid)
        if ticks - living > self._ended.get(pid, 0.0) + 2 * _TICK:
            self._ended[pid] = ticks - living
        return living + self._ended.get(pid, 0.0)

    def _members(self, found: dict[int, _Process]) -> set[int]:
        """Return the main process, what came to this process meanwhile, and all their descendants."""
        children: dict[int, list[int]] = {}
        for pid, process in found.items():
            children.setdefault(process.parent, []).append(pid)
        members: set[int] = set()
        fresh = [pid for pid in children.get(os.getpid(), []) if pid not in self._before]
        while fresh:
            members.update(fresh)
            fresh = [child for pid in fresh for child in children.get(pid, [])]
        return members


def _processes() -> dict[int, _Process]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid: process for pid in pids if (process := _process(pid))}


def _process(pid: int) -> _Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None  # it has ended
    own, reaped = (int(fields[at]) + int(fields[at + 1]) for at in (11, 13))
    return _Process(int(fields[1]), own * _TICK, reaped * _TICK)


def _threads(pid: int) -> float:
    """Return the CPU seconds of a process's living threads."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(thread.read_text().split()[0])
        except (OSError, IndexError):
            pass  # it has ended
    return total / 1e9


def _reaped_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _be_reaper(yes: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process cannot become the reaper of its descendants")
