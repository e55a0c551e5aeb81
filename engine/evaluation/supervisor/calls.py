"""Handle the evaluator's calls and sessions with the candidate: one at a time, each in a sandbox of its own."""

from __future__ import annotations

import _socket
import os
import signal

from .box import Box, set_urgent, spawner
from .folders import discard
from .frames import pack
from .processes import send_signal
from .results import is_number

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .clock import Clock
    from .nursery import Nursery

__all__ = ["Calls", "Fault"]


class Fault(Exception):
    """The evaluation cannot continue, for a reason that is neither the task's nor the candidate's."""


class Calls:
    """Start, use and end the candidate's sandbox.

    Args:
        folder: the evaluation's folder.
        evaluator: the process that makes the calls.
        clock: the evaluation's clock.
        adopt: called with each started sandbox, to listen to it.
        environment: of candidates that start as programs of their own.
        nursery: what candidates are forked from; by default each starts as a program of its own.
    """

    def __init__(
        self,
        folder: str,
        evaluator: Box,
        clock: Clock,
        adopt: Callable[[Box], None],
        environment: Mapping[str, str],
        nursery: Nursery | None = None,
    ) -> None:
        self.folder = folder
        self.evaluator = evaluator
        self.clock = clock
        self.adopt = adopt
        self.environment = environment
        self.nursery = nursery
        self.candidate: Box | None = None
        self.lost: dict[str, object] = {}
        """The answer for the next call of a session whose candidate ended between two calls; empty if it did not."""
        self.count = 0
        self.gifts: list[int] = []
        """The evaluator's ends of what it shares with a session's candidate, until the first answer."""
        self.job: dict[str, Any] = {}
        self.program = b""
        self.wrapped = False
        self.descendants: Callable[[int], list[int]] = lambda pid: []
        """Finds the processes that a sandbox without a namespace has started."""

    # Messages of the evaluator

    def ask(self, header: dict[str, Any], body: bytes) -> None:
        """Handle a frame of the kind `call`, `close` or `cpu`.

        Raises:
            ValueError: it is not allowed in the current state.
            Fault: the candidate cannot be started.
        """
        if header["type"] == "close":
            self.close()
        elif header["type"] == "cpu":
            self.tell_cpu()
        elif header.get("session") == "again":
            self.call_again(header, body)
        else:
            self.call(header, body)

    def call(self, header: dict[str, Any], body: bytes) -> None:
        """Start a candidate in a sandbox of its own, beside the evaluator's."""
        if self.candidate is not None:
            raise ValueError("a call while another one is running")
        self.count += 1
        scratch = f"{self.folder}/call-{self.count}"
        own = self.job["scratch"]
        try:
            if not self.job["scratch_in_memory"]:
                os.mkdir(scratch, 0o700)  # noqa: PTH102 - pathlib would add to the time it takes to start
            ours, theirs = _socket.socketpair()
            nursery = self.nursery
            if nursery:
                start = lambda fds: nursery.start("candidate", self.folder, fds)  # noqa: E731
            else:
                command = [scratch if word == own else word for word in self.job["candidate"]["command"]]
                environment = {
                    name: value.replace(own, scratch) if not self.wrapped else value
                    for name, value in self.environment.items()
                }
                start = spawner(command, environment)
            set_urgent(False)
            box = Box(start, ours.detach(), theirs.detach())
        except OSError as exc:
            raise Fault(f"a candidate cannot be started: {exc}") from None
        finally:
            set_urgent(True)
        box.forked = nursery is not None
        box.scratch = "" if self.job["scratch_in_memory"] else scratch
        box.reports = header.get("progress") is True
        box.seconds = _seconds(header)
        box.kept = header.get("session") == "new"
        self.candidate = box
        self.lost = {}
        self.adopt(box)
        job = {key: header.get(key) for key in ("function", "helper", "session", "memory")}
        limits = {"limits": self.job["limits"], "program_size": len(self.program)}
        gifts: list[int] = []
        if header.get("memory") is not None:
            gifts, self.gifts = _shared(header["memory"], self.job["limits"]["memory_mb"])
        box.write(pack({**job, **limits, **self.job["candidate"]["job"]}, self.program + body), gifts)

    def tell_cpu(self) -> None:
        """Tell the CPU time of a session's candidate, without a word to it."""
        used = {} if self.candidate is None else {"cpu_seconds": self.candidate.cpu_seconds()}
        self.evaluator.write(pack({"type": "returned", **used}))

    def call_again(self, header: dict[str, Any], body: bytes) -> None:
        """Pass another call of a session to its candidate."""
        box = self.candidate
        if box is None:
            gone: dict[str, object] = {"type": "raised", "message": "the session's candidate is gone"}
            self.evaluator.write(pack(self.lost or gone))
        elif not box.idle:
            raise ValueError("a call while another one is running")
        else:
            box.idle = False
            box.seconds = _seconds(header)
            box.deadline = None if box.seconds is None else self.clock.now() + box.seconds
            box.write(pack({"function": header.get("function")}, body))

    def close(self) -> None:
        """End a session; the evaluator is told once the candidate has ended."""
        box = self.candidate
        if box is None:
            self.evaluator.write(pack({"type": "returned"}))
        elif box.answer is not None:  # it is being ended because of something it did between two calls
            box.idle = False
        elif not box.idle:
            raise ValueError("an end of a session while a call is running")
        else:
            box.idle = False
            self.answer(box, {"type": "returned"})

    # Messages of the candidate

    def returned(self, box: Box, header: dict[str, Any], body: bytes) -> None:
        """Handle a candidate's frame that answers a call.

        Raises:
            ValueError: no call is in progress.
        """
        if box.idle:
            raise ValueError("a message that nobody asked for")
        cpu = {"cpu_seconds": box.cpu_seconds()}
        answer: dict[str, object] = {"type": "returned", **cpu}
        if header.get("type") != "returned":
            texts = {key: str(header.get(key, ""))[:65536] for key in ("message", "traceback")}
            answer, body = {"type": "raised", **texts, **cpu}, b""
        if box.kept:
            box.idle, box.deadline = True, None
            gifts, self.gifts = self.gifts, []
            self.evaluator.write(pack(answer, body), gifts)
        else:
            self.answer(box, answer, body)

    def answer(self, box: Box, header: dict[str, object], body: bytes = b"") -> None:
        """Store the answer to a call and end the candidate; the evaluator is told once the candidate has ended."""
        if box.answer is None:
            box.answer = (header, body)
            if not self.wrapped:
                for pid in self.descendants(box.pid):
                    send_signal(pid, signal.SIGKILL)
            send_signal(box.pid, signal.SIGKILL)

    def check_deadline(self, now: float) -> None:
        """End a candidate whose call has exceeded its time limit."""
        box = self.candidate
        if box is not None and box.deadline is not None and now >= box.deadline:
            box.deadline = None
            self.answer(box, {"type": "timeout", "message": f"no answer within {box.seconds:g} s"})

    def ended(self, box: Box, how: str) -> None:
        """Answer the evaluator's call after the candidate's process has ended; `how` describes its end."""
        header, body = box.answer or ({"type": "raised", "message": f"the candidate {how} and gave no result"}, b"")
        self.candidate = None
        box.leave_folders()
        box.drop_gifts()
        for fd in self.gifts:
            os.close(fd)
        self.gifts = []
        if box.scratch:
            discard(box.scratch)
        if box.idle:
            self.lost = header
        else:
            self.evaluator.write(pack({**header, "call": self.count}, body))


def _seconds(header: dict[str, Any]) -> float | None:
    seconds = header.get("seconds")
    return float(seconds) if is_number(seconds) else None  # type: ignore[arg-type]


def _shared(size: Any, most_mb: float) -> tuple[list[int], list[int]]:
    """Make what an evaluator and its candidate share: a link, and memory of a size that nobody can change.

    Args:
        size: bytes of the memory; with 0 there is none.
        most_mb: the most that there may be.

    Returns:
        The descriptors of the candidate and those of the evaluator: the link's end, then the memory.

    Raises:
        ValueError: it is no such size.
        Fault: the system is short of something.
    """
    if not is_number(size) or not 0 <= size <= most_mb * 2**20:
        raise ValueError(f"a wish for {size!r:.40} bytes of shared memory")
    import fcntl

    made: list[int] = []
    try:
        for end in _socket.socketpair():
            made.append(end.detach())
        if size:
            memory = os.memfd_create("evolve", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            made.append(memory)
            os.ftruncate(memory, int(size))
            fcntl.fcntl(memory, 1033, 7)  # F_ADD_SEALS: F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW
            made.append(os.dup(memory))
    except OSError as exc:
        for fd in made:
            os.close(fd)
        raise Fault(f"memory cannot be shared with a candidate: {exc.strerror}") from None
    return [made[0], *made[2:3]], [made[1], *made[3:]]
