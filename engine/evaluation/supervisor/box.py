"""A confined process and its descriptors."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from .poller import Poller

__all__ = ["IGNORED", "Box", "set_urgent"]

IGNORED = tuple(number for number in range(1, 65) if number not in (9, 17, 19, 32, 33))
"""Signals that a supervisor ignores: all but SIGKILL, SIGCHLD, SIGSTOP and the two of the C library."""


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
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

    def write(self, data: bytes) -> None:
        """Send bytes over the channel as soon as it has room."""
        self.outbox += data
        self.flush()

    def flush(self) -> None:
        try:
            del self.outbox[: os.write(self.channel, self.outbox)]
        except BlockingIOError:
            pass  # the poller calls again once there is room
        except OSError:
            self.outbox.clear()  # it has ended; its exit is handled separately
        if self.poller is not None:
            self.poller.want_room(self.channel, bool(self.outbox))
