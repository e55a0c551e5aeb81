"""A confined process and its descriptors."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys
import time

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .poller import Poller

__all__ = ["DEFAULT", "IGNORE", "IGNORED", "Box", "block", "set_action", "set_urgent", "spawner"]

IGNORED = tuple(number for number in range(1, 65) if number not in (9, 17, 19, 32, 33))
"""Signals that a supervisor ignores: all but SIGKILL, SIGCHLD, SIGSTOP and the two of the C library."""


set_action: Any = _signal.signal
"""`signal.signal` without its names for numbers, which take ten times as long as the call."""
DEFAULT: Any = _signal.SIG_DFL
IGNORE: Any = _signal.SIG_IGN
"""What it takes beside functions."""


def block(numbers: Sequence[int]) -> None:
    """Have signals wait for ever, with one call for all of them; what is forked from this process inherits that."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, numbers)


_oom_score: list[int] = []
"""The descriptor of this process's own score, kept open: a process that hides its memory may not open it again."""


def _set_oom_score(score: int) -> None:
    try:
        if not _oom_score:
            _oom_score.append(os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC))
        os.pwrite(_oom_score[0], str(score).encode(), 0)
    except OSError:
        pass  # best effort: it protects the rest of the machine and is not one of our limits


def set_urgent(urgent: bool) -> None:
    """Raise this process's priority over the watched ones: otherwise a thousand forks delay their end a thousand turns.

    Only root may; other users are bound by RLIMIT_NPROC, which does not apply to root. Children of an urgent process
    start with normal priority.
    """
    try:
        if urgent:
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass  # see above


def spawner(command: list[str], environment: Mapping[str, str]) -> Callable[[list[int]], int]:
    """Return how a box starts its process as a program of its own."""

    def spawn(fds: list[int]) -> int:
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for fd, target in zip(fds, (3, 1, 2), strict=True):
            actions.append((os.POSIX_SPAWN_DUP2, fd, target))
        # If memory runs out, the kernel kills the evaluation before the engine; the child inherits this score.
        _set_oom_score(500)
        try:
            # The child needs the default actions of all that this process ignores, SIGPIPE and SIGXFSZ among them.
            return os.posix_spawn(
                command[0], command, environment, file_actions=actions, setsigdef=IGNORED, setsigmask=()
            )
        finally:
            _set_oom_score(0)

    return spawn


class Box:
    """A confined process (bubblewrap, the bare interpreter, or the first one of a nursery) and its descriptors.

    Args:
        start: starts the process and returns its id; gets its end of the channel, its output and its errors.
        channel: this process's end of the channel.
        channel_of_child: the other one, which is closed here.
    """

    def __init__(self, start: Callable[[list[int]], int], channel: int, channel_of_child: int) -> None:
        self.channel = channel
        self.outputs = []
        writers = []
        for _ in range(2):
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            self.outputs.append(reader)
            writers.append(writer)
        os.set_blocking(channel, False)
        self.pid = start([channel_of_child, *writers])
        for fd in (*writers, channel_of_child):
            os.close(fd)
        self.poller: Poller | None = None
        """The poller that watches the channel, once it is registered."""
        self.forked = False
        """Whether it comes from a nursery."""
        self.ready = False
        """Whether it has reported that it runs; it gets no job before, so that no code of the task runs unlimited."""
        self.inner = 0
        """The process id of its interpreter, once it has reported that it runs; bubblewrap's own is `pid`."""
        self.folders: list[int] = []
        """Open folders in memory that it may fill."""
        self.status: int | None = None
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.gifts: list[int] = []
        """Descriptors that go with the first byte of the outbox."""
        self.scratch = ""
        self.reports = False
        """Whether this candidate may send progress."""
        self.seconds: float | None = None
        self.deadline: float | None = None
        self.answer: tuple[dict[str, object], bytes] | None = None
        self.kept = False
        """Whether it stays alive for more calls of a session."""
        self.idle = False
        """Whether it is kept and has no call in progress."""

    def receive(self) -> bytes:
        """Read from the channel; nothing means that its end is reached.

        The first message comes from the harness, with the process id and the folders that only it can name. Later
        ones may come from the candidate, and descriptors and credentials that they carry are ignored.

        Raises:
            BlockingIOError: there is nothing to read.
        """
        if self.inner:
            return os.read(self.channel, 1 << 20)
        import _socket

        channel = _socket.socket(fileno=os.dup(self.channel))
        try:
            channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
            data, ancillary, _, _ = channel.recvmsg(1 << 20, 256)
            channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 0)
        finally:
            channel.close()
        for _, kind, packed in ancillary:
            numbers = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed) & ~3, 4)]
            if kind == _socket.SCM_RIGHTS:
                for fd in numbers:
                    os.set_inheritable(fd, False)  # a candidate must not get the evaluator's folders
                self.folders += numbers
            elif kind == _socket.SCM_CREDENTIALS:
                self.inner = numbers[0]
        return data

    def cpu_seconds(self) -> float:
        """Return the CPU time of its interpreter, with all threads it has had, and without its children."""
        try:
            return time.clock_gettime((~self.inner << 3) | 2)  # clock_getcpuclockid() of another process
        except OSError:
            return 0.0  # it has ended

    def leave_folders(self) -> None:
        """Close the folders in memory; the last close frees their content."""
        for fd in self.folders:
            os.close(fd)
        self.folders = []

    def write(self, data: bytes, gifts: Sequence[int] = ()) -> None:
        """Send bytes over the channel as soon as it runs and the channel has room.

        Args:
            data: the bytes.
            gifts: descriptors that go with them, which are closed here; only while nothing else waits to be sent.
        """
        self.outbox += data
        self.gifts += gifts
        self.flush()

    def flush(self) -> None:
        if not self.ready:
            return
        try:
            del self.outbox[: self._give() if self.gifts else os.write(self.channel, self.outbox)]
        except BlockingIOError:
            pass  # the poller calls again once there is room
        except OSError:
            self.outbox.clear()  # it has ended; its exit is handled separately
        if self.poller is not None:
            self.poller.want_room(self.channel, bool(self.outbox))

    def _give(self) -> int:
        """Send bytes with the descriptors that go with them; return how many bytes."""
        import _socket

        channel = _socket.socket(fileno=os.dup(self.channel))
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in self.gifts)
        try:
            sent = channel.sendmsg([self.outbox], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
        finally:
            channel.close()
        self.drop_gifts()
        return int(sent)

    def drop_gifts(self) -> None:
        """Close descriptors that were not sent."""
        for fd in self.gifts:
            os.close(fd)
        self.gifts = []
