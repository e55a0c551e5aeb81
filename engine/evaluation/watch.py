"""Watch an evaluation's supervisor from the engine, and end its processes if it dies or hangs.

Where a candidate shares the process namespace it may reach its supervisor, whatever the filter of system calls keeps
from it. Then it ends only its own evaluation.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["SupervisorWatch", "mark_of", "sweep_marked"]

_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.02
_PING_LOOKS = 5
_SILENT_LOOKS = 60
"""Looks without an answer before the supervisor counts as hanging. Counted in looks, not seconds, since an engine that
was stopped itself does not look."""
_SWEEP_SECONDS = 10.0


class SupervisorWatch:
    """Watch one supervisor; the callbacks run in the event loop.

    Args:
        pid: the supervisor, a child of this process that has not been reaped.
        ping: sends a message that the supervisor answers.
        on_end: called once it has ended and can be reaped.
    """

    def __init__(self, pid: int, ping: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._pid = pid
        self._ping = ping
        self._on_end = on_end
        self._looks = 0
        self._loop = asyncio.get_running_loop()
        self._fd: int | None = None
        try:
            self._fd = os.pidfd_open(pid)
            self._loop.add_reader(self._fd, self._ended)
        except OSError:
            self._poll = self._loop.call_later(_POLL_SECONDS, self._poll_end)  # before Linux 5.3
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        self.fault = ""
        """Why it was killed by this watch; empty if it was not."""

    def heard(self) -> None:
        """Note a message of the supervisor."""
        self._looks = 0

    def close(self) -> None:
        """End the watch."""
        self._timer.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def _poll_end(self) -> None:
        if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._poll = self._loop.call_later(_POLL_SECONDS, self._poll_end)
        else:
            self._ended()

    def _ended(self) -> None:
        self.close()
        self._on_end()

    def _look(self) -> None:
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        self._looks += 1
        if self._is_stopped():
            self._end("its supervisor was stopped")
        elif self._looks > _SILENT_LOOKS:
            self._end("its supervisor stood still")
        elif self._looks % _PING_LOOKS == 0:
            self._ping()

    def _is_stopped(self) -> bool:
        return _state_of(self._pid) in ("T", "t")

    def _end(self, fault: str) -> None:
        self.fault = fault
        self._timer.cancel()
        os.kill(self._pid, signal.SIGKILL)  # not reaped yet, so the number is its own


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""  # it has ended, which the pidfd reports


def mark_of(folder: Path) -> int:
    """Return the number that marks the processes of the evaluation in a folder: their limit of file locks.

    Linux has ignored this limit since 2003, every child inherits it, and the filter forbids changes of it: a process
    keeps it even if it becomes a daemon.
    """
    return 1 << 60 | int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:7], "big")


def sweep_marked(folder: Path) -> None:
    """Kill the processes of the evaluation in a folder that its supervisor left; they run outside of a namespace."""
    limit = f" {mark_of(folder)} ".encode()
    named = f"{folder}/scratch".encode()
    deadline = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < deadline:
        found = [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and int(process.name) != os.getpid() and _is_marked(process, limit, named)
        ]
        if not found:
            return
        # Stopped first, so that none makes another while the next is killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                try:
                    os.kill(pid, number)
                except OSError:
                    continue  # it has ended, or belongs to another user who names our folder
        time.sleep(0.005)


def _is_marked(process: Path, limit: bytes, named: bytes) -> bool:
    """Tell whether a live process has the limit, or the folder in its environment or command line."""
    for name, mark in (("limits", limit), ("environ", named), ("cmdline", named)):
        try:
            if mark in (process / name).read_bytes():
                return _state_of(int(process.name)) not in ("Z", "X", "")
        except OSError:
            continue  # it has ended, or may not be read
    return False
