"""A confined process and its descriptors."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from .poller import Poller

__all__ = ["IGNORED", "Box", "set_urgent"]

IGNORED = tuple(number for number in range(1, 65) if number not in (9, 17, 19, 32, 33))
"""Signals that a supervisor ignores: all but SIGKILL, SIGCHLD, SIGSTOP and the two of the C library."""


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


class Box:
    """A confined process (bubblewrap, or the bare interpreter) and its descriptors."""

    def __init__(self, command: list[str], environment: dict[str, str], channel: int, channel_of_child: int) -> None:
        self.channel = channel
        self.outputs = []
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        writers = []
        for target in (1, 2):
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            self.outputs.append(reader)
            writers.append(writer)
            actions.append((os.POSIX_SPAWN_DUP2, writer, target))
        actions.append((os.POSIX_SPAWN_DUP2, channel_of_child, 3))
        os.set_blocking(channel, False)
        # If memory runs out, the kernel kills the evaluation before the engine; the child inherits this score.
        _set_oom_score(500)
        # The child needs the default actions of all that this process ignores, SIGPIPE and SIGXFSZ among them.
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsigdef=IGNORED)
        _set_oom_score(0)
        for fd in (*writers, channel_of_child):
            os.close(fd)
        self.poller: Poller | None = None
        """The poller that watches the channel, once it is registered."""
        self.ready = False
        """Whether it has said that it runs. Before that it gets nothing, so that no code of the task runs unlimited."""
        self.inner = 0
        """The process id of its interpreter, once it has said that it runs; bubblewrap's own is `pid`."""
        self.folders: list[int] = []
        """Open folders in memory that it may fill."""
        self.status: int | None = None
        self.inbox = bytearray()
        self.outbox = bytearray()
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
        ones may come from the candidate, and what they carry beside their text is thrown away.

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

    def leave_folders(self) -> None:
        """Close the folders in memory; the last one to do so frees what is in them."""
        for fd in self.folders:
            os.close(fd)
        self.folders = []

    def write(self, data: bytes) -> None:
        """Send bytes over the channel as soon as it runs and the channel has room."""
        self.outbox += data
        self.flush()

    def flush(self) -> None:
        if not self.ready:
            return
        try:
            del self.outbox[: os.write(self.channel, self.outbox)]
        except BlockingIOError:
            pass  # the poller calls again once there is room
        except OSError:
            self.outbox.clear()  # it has ended; its exit is handled separately
        if self.poller is not None:
            self.poller.want_room(self.channel, bool(self.outbox))
