"""One process that runs under confinement, and its descriptors."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own constant without typing, which takes time to import
if TYPE_CHECKING:
    from .poller import Poller

__all__ = ["Box", "set_urgent"]


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass  # a kindness to the rest of the machine, not a limit of ours


def set_urgent(urgent: bool) -> None:
    """Come before everything that is watched: among a thousand forks one would else wait a thousand turns to end them.

    Only root may; others are held by RLIMIT_NPROC, which root is not. What an urgent process starts loses its niceness.
    """
    try:
        if urgent:
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass  # see above


class Box:
    """One process that runs under confinement (bubblewrap, or the bare interpreter) and its descriptors."""

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
        # Where the machine runs out of memory, the evaluation goes before the engine: what starts now inherits this.
        _set_oom_score(500)
        # Python ignores SIGPIPE (13) and SIGXFSZ (25); what is started here shall find them as they are by default.
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsigdef=(13, 25))
        _set_oom_score(0)
        for fd in (*writers, channel_of_child):
            os.close(fd)
        self.poller: Poller | None = None
        """What waits on the channel, once somebody listens."""
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
        """Whether it stays for the further calls of a session."""
        self.idle = False
        """Whether it is kept and nothing is asked of it just now."""

    def write(self, data: bytes) -> None:
        """Send bytes over the channel, as soon as there is room."""
        self.outbox += data
        self.flush()

    def flush(self) -> None:
        try:
            del self.outbox[: os.write(self.channel, self.outbox)]
        except BlockingIOError:
            pass  # the poller says when there is room again
        except OSError:
            self.outbox.clear()  # it has ended: its exit tells the rest
        if self.poller is not None:
            self.poller.want_room(self.channel, bool(self.outbox))
