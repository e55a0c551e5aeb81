"""Count memory that no process shows, if no cgroup counts it."""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import stat

__all__ = ["Hidden", "count_folders", "count_open_files"]

_MOST_DESCRIPTORS = 20_000
"""Descriptors to look at in one check."""


def count_folders(folders: list[int]) -> list[tuple[int, int]]:
    """Return bytes and files of file systems in memory, by an open folder of each; files without a name count too."""
    found = []
    for fd in folders:
        status = os.fstatvfs(fd)
        found.append(((status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree))
    return found


class Hidden:
    """Count memory in files without a name, page tables and swap, and watch the free memory of the machine.

    Memory that is attached to no process (detached shared memory, buffers of sockets and pipes, descriptors in transit
    through a socket) shows only in the free memory of the machine: this ends an evaluation if the machine runs low and
    the memory that no process shows has grown by more than the limit.

    Args:
        limit: the memory limit, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.excess = ""
        """Message if the machine runs low; empty if it does not."""
        machine = _read_machine()
        self.before = _unshown(machine)
        self.floor = min(max(machine.get("MemTotal", 0) // 16, 2**28), machine.get("MemAvailable", 0) // 2)

    def look(self, pids: list[int], files: int) -> int:
        """Return the bytes that these processes keep apart from their resident memory.

        Args:
            pids: the processes.
            files: bytes of the files in memory that they keep.
        """
        machine = _read_machine()
        available = machine.get("MemAvailable", self.floor)
        if available < self.floor and _unshown(machine) - self.before > self.limit:
            self.excess = (
                f"memory limit: the machine has {available // 2**20} MiB left, and no process shows where it went"
            )
        own, mapped = 0, 0
        for pid in pids:
            status = _read_table(f"/proc/{pid}/status")
            own += status.get("VmPTE", 0) + status.get("VmSwap", 0)
            mapped += status.get("RssShmem", 0)
        # Mapped files are resident, too, and count once.
        return own + max(0, files - mapped)


def count_open_files(pids: list[int]) -> tuple[int, int]:
    """Return the bytes of open files without a name, each once: in the kernel's memory (memfds), and elsewhere.

    Those of a process that hides its descriptors from this user are not seen.
    """
    seen: set[tuple[int, int]] = set()
    memory = disk = looks = 0
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            looks += 1
            if looks > _MOST_DESCRIPTORS:
                return memory, disk
            try:
                found = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - a path of /proc
            except OSError:
                continue  # it is closed, or leads nowhere
            if not stat.S_ISREG(found.st_mode) or found.st_nlink or (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            if found.st_dev == _MEMORY_DEVICE:
                memory += found.st_blocks * 512
            else:
                disk += found.st_blocks * 512
    return memory, disk


def _device_of_memory() -> int:
    """Return the device number of the kernel's own file system in memory, where memfds lie; -1 if there is none."""
    try:
        fd = os.memfd_create("evolve", os.MFD_CLOEXEC)
    except OSError:
        return -1
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


_MEMORY_DEVICE = _device_of_memory()


def _read_machine() -> dict[str, int]:
    return _read_table("/proc/meminfo")


def _unshown(machine: dict[str, int]) -> int:
    """Return the bytes in use that are neither memory of processes nor cache that can be dropped."""
    cached = machine.get("Cached", 0) - machine.get("Shmem", 0) + machine.get("Buffers", 0)
    used = machine.get("MemTotal", 0) - machine.get("MemFree", 0) - cached
    return used - machine.get("AnonPages", 0) - machine.get("SReclaimable", 0)


def _read_table(path: str) -> dict[str, int]:
    """Return the sizes in a file with a name, a number and `kB` a line, in bytes."""
    found = {}
    try:
        with open(path) as file:
            for line in file:
                words = line.split()
                if len(words) == 3 and words[2] == "kB":
                    found[words[0].rstrip(":")] = int(words[1]) * 1024
    except OSError:
        pass  # the process has ended
    return found
