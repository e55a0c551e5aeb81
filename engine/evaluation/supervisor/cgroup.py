"""The cgroup of one evaluation: the kernel counts and bounds the usage of all its processes together.

A candidate can leave neither the group nor its limits: the group lies outside its view, and every process that it
starts is born in it. The kernel counts what no process shows: memfds, detached shared memory, page tables, buffers of
sockets and pipes, and the CPU of children that no process waits for.

One class for both versions. `parents` says where the group is made: `unified` for version 2, where one folder holds
every controller; `memory`, `pids`, `cpuacct`, `freezer` for version 1, where each has a folder of its own. A machine
may have both at once: then version 2 freezes, kills and counts CPU, and version 1 does the rest.
"""

# Importing pathlib would delay the supervisor's start.
# ruff: noqa: PTH102, PTH106, PTH110

from __future__ import annotations

import errno
import os
import signal
import time

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PREFIX", "Cgroup", "is_abandoned", "name_for"]

PREFIX = "evolve-"


def name_for(pid: int) -> str:
    """Return the name of the group that a process makes: it tells when that process is gone, and from where it counts.

    Process ids mean something in one namespace only and are used again, so the namespace and the start are part of it.
    """
    return f"{PREFIX}{_pid_namespace()}-{pid}-{_start_of(pid)}"


def is_abandoned(name: str) -> bool:
    """Tell whether a folder of this name is a group of ours whose maker has ended."""
    if not name.startswith(PREFIX):
        return False
    space, _, rest = name[len(PREFIX) :].partition("-")
    pid, _, rest = rest.partition("-")
    start = rest.partition("-")[0]
    return space == _pid_namespace() and pid.isdigit() and start.isdigit() and _start_of(int(pid)) != start


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid").strip("pid:[]")  # noqa: PTH115 - a set of characters is meant


def _start_of(pid: int) -> str:
    """Return when a process started, in ticks since the boot; empty if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if len(fields) < 20 or fields[0] in (b"Z", b"X") else fields[19].decode()


class Cgroup:
    """A group in one or more hierarchies.

    Args:
        parents: the folder above the group, by hierarchy.
        name: the group's name in each of them.
    """

    def __init__(self, parents: dict[str, str], name: str) -> None:
        self.counts_memory = "memory" in parents
        """Whether the kernel counts and bounds the group's memory."""
        self.folders = {hierarchy: f"{parent}/{name}" for hierarchy, parent in parents.items()}
        self._open: dict[str, int] = {}
        """Descriptors of the files that are read again and again; -1 for one that this kernel lacks."""

    # Start and end

    def make(self, limits: dict[str, Any]) -> None:
        """Make the group with its limits.

        Raises:
            OSError: it cannot be made; nothing of it is left, and a group of this name that was there stays.
        """
        made = []
        try:
            for folder in self.folders.values():
                os.mkdir(folder)
                made.append(folder)
            self._limit(limits)
        except OSError:
            for folder in made:
                os.rmdir(folder)
            raise

    def _limit(self, limits: dict[str, Any]) -> None:
        memory = str(int(limits["memory_mb"] * 2**20))
        # Threads count, too. The count of processes ends an evaluation earlier; this bounds what it misses.
        tasks = str(int(limits["processes"]) * 16 + 256)
        if "memory" in self.folders:
            self._write("memory", "memory.limit_in_bytes", memory)
            self._write("memory", "memory.memsw.limit_in_bytes", memory, optional=True)
            self._write("memory", "memory.swappiness", "0", optional=True)
            # Buffers of TCP and UDP are counted only once they have a limit, and apart from the rest.
            self._write("memory", "memory.kmem.tcp.limit_in_bytes", memory, optional=True)
        elif "unified" in self.folders and self._has("memory.current"):
            self._write("unified", "memory.max", memory)
            self._write("unified", "memory.swap.max", "0", optional=True)
            self._write("unified", "memory.oom.group", "1", optional=True)
            self.counts_memory = True
        if "pids" in self.folders:
            self._write("pids", "pids.max", tasks)
        elif "unified" in self.folders and self._has("pids.current"):
            self._write("unified", "pids.max", tasks)

    def remove(self, seconds: float = 2.0) -> bool:
        """Remove the group if no process is in it; return whether it is gone. Processes in it are not ended."""
        deadline = time.monotonic() + seconds
        for fd in self._open.values():
            if fd >= 0:
                os.close(fd)
        self._open.clear()
        for folder in self.folders.values():
            while True:
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError as exc:
                    if exc.errno != errno.EBUSY or time.monotonic() > deadline:
                        return False
                    time.sleep(0.002)
        return True

    # Processes

    def add(self, pid: int) -> None:
        """Put a process into the group; processes that it starts later are in it, too.

        Raises:
            OSError: it cannot be put there.
        """
        for hierarchy in self.folders:
            self._write(hierarchy, "cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """Return the live processes in the group; none if it has no folder left."""
        if not self.folders:
            return []
        hierarchy = "unified" if "unified" in self.folders else next(iter(self.folders))
        return [int(word) for word in self._read(hierarchy, "cgroup.procs").split()]

    def count(self) -> int:
        """Return how many processes are in the group."""
        hierarchy = "unified" if "unified" in self.folders else next(iter(self.folders))
        count = at = 0
        # A read gives no more than a page of this file, whatever it asks for.
        while part := self._look(hierarchy, "cgroup.procs", at):
            count, at = count + part.count(b"\n"), at + len(part)
            if len(part) < 2048:
                break
        return count

    def stop(self) -> None:
        """Stop all processes at once with SIGSTOP: frozen together, none can continue another that has stopped."""
        self._signal_all(signal.SIGSTOP)

    def kill(self) -> None:
        """Kill all processes; they may take a moment to end."""
        if "unified" in self.folders and self._has("cgroup.kill"):
            self._write("unified", "cgroup.kill", "1")
        else:
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        """Send a signal to all processes while they are frozen, so that none escapes by starting another."""
        try:
            self._freeze(True)
            for pid in self.pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass  # it has ended
        finally:
            # A signal takes effect only after this, and a frozen group would outlive its maker.
            self._freeze(False)

    def _freeze(self, frozen: bool) -> None:
        if "unified" in self.folders and self._has("cgroup.freeze"):
            self._write("unified", "cgroup.freeze", str(int(frozen)))
            shown = ("unified", "cgroup.events", "frozen 1")
        elif "freezer" in self.folders:
            self._write("freezer", "freezer.state", "FROZEN" if frozen else "THAWED")
            shown = ("freezer", "freezer.state", "FROZEN")
        else:
            return
        deadline = time.monotonic() + 0.5  # a process that waits for a disk takes its time
        while frozen and shown[2] not in self._read(shown[0], shown[1]) and time.monotonic() < deadline:
            time.sleep(0.0005)

    # Usage

    def cpu_seconds(self) -> float:
        """Return the CPU time of all that was ever in the group; 0 if nothing counts it."""
        if "unified" in self.folders:
            return _number_of(b"usage_usec", self._look("unified", "cpu.stat")) / 1e6
        if "cpuacct" in self.folders:
            return int(self._look("cpuacct", "cpuacct.usage") or 0) / 1e9
        return 0.0

    def memory_bytes(self) -> int:
        """Return the memory that the kernel cannot take back: of processes, in files in memory, its own for them."""
        if "memory" in self.folders:
            found = self._look("memory", "memory.stat")
            own = sum(int(self._look("memory", f"memory.kmem.{name}usage_in_bytes") or 0) for name in ("", "tcp."))
            return sum(_number_of(name, found) for name in (b"rss", b"shmem", b"swap")) + own
        found = self._look("unified", "memory.stat")
        parts: tuple[bytes, ...] = (b"slab_unreclaimable", b"kernel_stack", b"pagetables", b"percpu")
        if b"\nkernel " in found:
            parts = (b"kernel",)
        return sum(_number_of(name, found) for name in (b"anon", b"shmem", b"sock", *parts))

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed because the memory limit was reached."""
        if "memory" in self.folders:
            return _number_of(b"oom_kill", self._look("memory", "memory.oom_control"))
        return _number_of(b"oom_kill", self._look("unified", "memory.events"))

    # Files

    def _has(self, file: str) -> bool:
        return os.path.exists(f"{self.folders['unified']}/{file}")

    def _write(self, hierarchy: str, file: str, text: str, optional: bool = False) -> None:
        try:
            fd = os.open(f"{self.folders[hierarchy]}/{file}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError:
            if not optional:
                raise

    def _look(self, hierarchy: str, file: str, at: int = 0) -> bytes:
        """Read a file that is kept open for the next look; nothing if this kernel lacks it, or the group is gone."""
        if file not in self._open:
            try:
                self._open[file] = os.open(f"{self.folders[hierarchy]}/{file}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._open[file] = -1
        fd = self._open[file]
        try:
            return os.pread(fd, 65536, at) if fd >= 0 else b""
        except OSError:
            return b""

    def _read(self, hierarchy: str, file: str) -> str:
        try:
            fd = os.open(f"{self.folders[hierarchy]}/{file}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""  # this kernel has no such file, or the group is gone
        try:
            found = b""
            while part := os.read(fd, 65536):
                found += part
            return found.decode()
        except OSError:
            return ""
        finally:
            os.close(fd)


def _number_of(name: bytes, lines: bytes) -> int:
    """Return the number behind a name in a file with a name and a number a line; 0 if it is not there."""
    at = lines.find(b"\n" + name + b" ")
    if at < 0:
        if not lines.startswith(name + b" "):
            return 0
        at = -1
    number = lines[at + len(name) + 2 : lines.find(b"\n", at + 1)]
    return int(number) if number.isdigit() else 0
