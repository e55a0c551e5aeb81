"""Run one evaluation: its state and its event handlers."""

# Importing pathlib would delay the start.
# ruff: noqa: PTH108

from __future__ import annotations

import os
import signal
import sys
import time

from .box import IGNORE, IGNORED, Box, block, set_action, set_urgent
from .calls import Calls, Fault
from .capture import Capture
from .cgroup import Cgroup, name_for
from .clock import Clock
from .folders import discard
from .frames import pack, take
from .link import Link
from .native import libc
from .outcome import make_outcome, spool
from .poller import Poller
from .processes import continue_tree, describe_exit, end_tree, send_signal, stop_tree
from .results import clean_result, is_number, plain_number, plain_text
from .usage import Usage

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .nursery import Nursery

__all__ = ["Supervisor"]

_LOOK_SECONDS = 0.005
"""Least time between two checks of usage because of answers, so that a session of many calls stays fast."""
_OUTPUT_SECONDS = 1.0
"""Least time between two looks of the engine at what is printed: most evaluations end before the first one."""
_OUTPUT_BYTES = 2048
"""The most that it is shown of each stream at a look; the outcome has more."""
_FIRST_LOOK = 0.05
"""Seconds to the first check of usage if the kernel itself bounds memory: many evaluations end before."""


class Supervisor:
    """Supervise one evaluation whose evaluator has been started and waits for its job.

    Args:
        folder: the evaluation's folder.
        evaluator: the process that has been started.
        environment: as of `supervisor.main`.
        nurseries: as of `supervisor.main`.
    """

    def __init__(
        self, folder: str, evaluator: Box, environment: Mapping[str, str], nurseries: Mapping[str, Nursery]
    ) -> None:
        self.folder = folder
        self.evaluator = evaluator
        self.nurseries = set(nurseries.values())
        self.clock = Clock()
        self.poller = Poller()
        self.calls = Calls(folder, evaluator, self.clock, self.adopt, environment, nurseries.get("candidate"))
        self.captures = (Capture(), Capture())
        self.wake = os.pipe()
        self.progress: list[list[object]] = []
        self.next_progress = 0.0
        self.next_output = _OUTPUT_SECONDS
        self.next_look = 0.01
        self.looked = 0.0
        self.result: dict[str, Any] | None = None
        self.fault = ""
        self.abandoned = False
        self.acknowledged = False
        self.job: dict[str, Any] = {}
        self.usage: Usage
        """Set as soon as the job has arrived."""
        self.cgroup: Cgroup | None = None
        self.wrapped = False
        self.result_limit = 0
        self.link = Link(self.poller, self.on_message, self.abandon)

    @property
    def boxes(self) -> list[Box]:
        """Return the existing sandboxes."""
        return [box for box in (self.evaluator, self.calls.candidate) if box is not None]

    # Start

    def run(self) -> int:
        """Run the evaluation to its end and return the exit code."""
        if libc.prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
            self.fault = "the supervisor cannot become a subreaper"
        set_urgent(True)
        for fd in self.wake:
            os.set_blocking(fd, False)
        # It ends when the engine says so or has ended; no signal of a candidate may end it before.
        if self.nurseries:
            block(IGNORED)
        else:
            for number in IGNORED:
                set_action(number, IGNORE)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake[1], warn_on_full_buffer=False)
        self.poller.listen(self.wake[0], lambda: self.on_signals(os.read(self.wake[0], 4096)))
        while not self.job and not self.abandoned:
            self.poller.turn(None)
        if self.job:
            self.begin()
            self.on_signals(b"")  # reap a child that ended before the handler was installed
        while not (self.result or self.fault or self.abandoned):
            self.poller.turn(self.time_left())
            self.check_clock()
        return self.finish()

    def begin(self) -> None:
        """Send the evaluator its job; it starts on receipt."""
        limits = self.job["limits"]
        self.calls.wrapped = self.job["sandbox"] == "bubblewrap"
        self.wrapped = self.calls.wrapped and not self.job["trusted"]
        if not self.wrapped:
            # PR_SET_DUMPABLE: other processes of the same user may neither read nor write this process's memory.
            libc.prctl(4, 0, 0, 0, 0)
        self.result_limit = int(limits["result_mb"] * 2**20) + 65536
        try:
            if self.job["cgroup"]:
                cgroup = Cgroup(self.job["cgroup"], name_for(os.getpid()))
                cgroup.make(limits)
                self.cgroup = cgroup
            with open(f"{self.folder}/{self.job['program']}", "rb") as file:
                program = file.read()
            try:
                os.unlink(self.folder + "/outcome.json")
            except FileNotFoundError:
                pass  # the usual case: there was no earlier attempt
        except OSError as exc:
            self.fault = f"{exc.filename or 'its cgroup'}: {exc.strerror}"
            return
        self.usage = Usage(self.job, self.cgroup)
        if self.usage.counted:
            self.next_look = _FIRST_LOOK
        self.calls.job, self.calls.program = self.job, program
        self.calls.descendants = self.usage.descendants
        self.adopt(self.evaluator)
        self.evaluator.write(pack({"limits": limits, **self.job["evaluator"]}, program))

    def adopt(self, box: Box) -> None:
        """Listen to a sandbox."""
        box.poller = self.poller
        self.poller.listen(box.channel, lambda: self.on_channel(box), box.flush)
        for fd, capture in ((box.outputs[0], self.captures[0]), (box.outputs[1], self.captures[1])):
            self.poller.listen(fd, lambda fd=fd, capture=capture: self.on_output(fd, capture))  # type: ignore[misc]

    # Messages of the engine

    def on_message(self, message: dict[str, Any]) -> None:
        if not self.job:
            self.job = message
            return
        order = message["do"]
        if order == "freeze":
            self.freeze()
        elif order == "thaw":
            self.thaw()
        elif order == "cancel":
            self.end("cancelled", message["reason"])
        elif order == "acknowledge":
            self.acknowledged = True
        elif order == "ping":
            self.link.tell({"type": "pong"})

    def abandon(self) -> None:
        """Give up the evaluation: the engine no longer waits for its outcome."""
        self.abandoned = True

    # Signals and timers

    def on_signals(self, _: bytes) -> None:
        while self.job:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for box in self.boxes:
                if box.pid == pid:
                    box.status = status
                    self.on_exit(box)
            for nursery in self.nurseries:
                if nursery.pid == pid:
                    nursery.pid = 0

    def time_left(self) -> float | None:
        """Return the seconds until the next deadline or check; None while frozen."""
        if self.clock.since is None:
            return None
        due = [self.job["limits"]["seconds"], self.next_look]
        candidate = self.calls.candidate
        if candidate is not None and candidate.deadline is not None:
            due.append(candidate.deadline)
        if self.progress:
            due.append(self.next_progress)
        if self.has_output:
            due.append(self.next_output)
        return float(min(due)) - self.clock.now()

    def check_clock(self) -> None:
        now = self.clock.now()
        if self.clock.since is None or self.result or self.fault:
            return
        if now >= self.job["limits"]["seconds"]:
            self.end("timeout", f"time limit of {self.job['limits']['seconds']:g} s")
        else:
            self.calls.check_deadline(now)
        if self.progress and now >= self.next_progress and not self.link.outbox:
            self.next_progress = now + 0.1
            self.link.tell({"type": "progress", "items": self.progress})
            self.progress = []
        if now >= self.next_output and self.has_output and not self.link.outbox:
            self.next_output = now + _OUTPUT_SECONDS
            self.tell_output()
        if now >= self.next_look:
            began = time.monotonic()
            often = self.check_usage()
            # Check often at first and near a limit, but spend at most a tenth of the time on checks.
            pause = max(0.02 if often else min(0.1, now), 10 * (time.monotonic() - began))
            self.next_look = self.clock.now() + pause

    def check_usage(self) -> bool:
        """End the evaluation if it is past a limit; return whether it is near one."""
        scratches = [] if self.job["scratch_in_memory"] else [self.job["scratch"]]
        if self.calls.candidate is not None and self.calls.candidate.scratch:
            scratches.append(self.calls.candidate.scratch)
        self.looked = self.clock.now()
        self.usage.watch.helpers = {nursery.pid for nursery in self.nurseries} | {b.pid for b in self.boxes if b.forked}
        often = self.usage.look(self.boxes, scratches, self.looked)
        if self.usage.excess is not None:
            self.end(*self.usage.excess)
        return often

    # Output and messages of the sandboxes

    def on_output(self, fd: int, capture: Capture) -> None:
        try:
            data = os.read(fd, 262144)
        except BlockingIOError:
            return
        if not data:
            self.poller.forget(fd)
            return
        capture.add(data)
        if self.captures[0].total + self.captures[1].total > self.job["limits"]["output_mb"] * 2**20:
            self.end("crashed", f"output limit of {self.job['limits']['output_mb']} MiB")

    @property
    def has_output(self) -> bool:
        """Whether something was printed that the engine was not told of."""
        return any(capture.total > capture.told for capture in self.captures)

    def tell_output(self) -> None:
        """Show the engine what was printed since it was last told, each byte as the character of its number."""
        for name, capture in zip(("stdout", "stderr"), self.captures, strict=True):
            content, left_out = capture.unseen(_OUTPUT_BYTES)
            if content:
                text = content.decode("latin-1")
                self.link.tell({"type": "output", "stream": name, "text": text, "left_out": left_out})

    def on_channel(self, box: Box) -> None:
        try:
            data = box.receive()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.poller.forget(box.channel)
            return
        if box.answer is None:
            box.inbox += data
        while not (self.result or self.fault or box.answer):
            try:
                frame = take(box.inbox, self.result_limit)
                if frame is None:
                    return
                self.on_frame(box, *frame)
            except ValueError as exc:
                if box is self.evaluator:
                    self.end("crashed", f"the evaluator sent {exc}")
                else:
                    self.calls.answer(box, {"type": "raised", "message": f"the candidate sent {exc}"})
            except Fault as exc:
                self.fault = str(exc)

    def on_frame(self, box: Box, header: dict[str, Any], body: bytes) -> None:
        kind = header.get("type")
        if kind == "ready":
            # The harness sends it before any code of the task runs; a repetition would extend the time limit.
            if box.ready:
                raise ValueError("a second message that it is ready")
            try:
                if self.cgroup is not None:
                    self.cgroup.add(box.inner)
            except OSError as exc:
                raise Fault(f"a process cannot be put into its cgroup: {exc.strerror}") from None
            box.ready = True
            box.flush()
            if box.seconds is not None:
                box.deadline = self.clock.now() + box.seconds
        elif kind == "progress" and (box is self.evaluator or box.reports):
            self.add_progress(header)
        elif box is not self.evaluator:
            if self.clock.now() - self.looked > _LOOK_SECONDS:
                self.check_usage()  # its end frees what it kept
            self.calls.returned(box, header, body)
        elif kind == "result":
            self.check_usage()  # a limit may have been passed since the last check
            if self.result is None:
                self.result = clean_result(header)
                if self.job["is_build"]:
                    self.result["built"] = body.decode("ascii", "replace")
        elif kind in ("call", "close", "cpu"):
            self.calls.ask(header, body)
        else:
            raise ValueError("a message of a kind that there is not")

    def add_progress(self, header: dict[str, Any]) -> None:
        step, found = header.get("step"), header.get("values")
        values = {}
        for name, value in list((found if isinstance(found, dict) else {}).items())[:64]:
            if is_number(value):
                values[plain_text(name, 128)] = plain_number(value)
        if len(self.progress) >= 128:
            del self.progress[::2]  # thin a flood evenly rather than forward it all or cut it off
        self.progress.append([plain_number(step) if is_number(step) else None, values])

    def on_exit(self, box: Box) -> None:
        """Handle the end of a box's process: read its remaining messages, then settle the result."""
        assert box.status is not None
        while self.poller.knows(box.channel) and not (self.result or self.fault or box.answer):
            before = len(box.inbox)
            self.on_channel(box)
            if len(box.inbox) == before:
                break
        how, number = describe_exit(box.status, self.wrapped if box is self.evaluator else self.calls.wrapped)
        if not box.ready and not (self.result or self.abandoned):
            self.drain(box)
            lines = self.captures[1].content().decode("utf-8", "replace").strip().splitlines()
            self.fault = f"the sandboxed interpreter {how}: {lines[-1] if lines else 'it said nothing'}"
            return
        if self.result is None and not self.abandoned and box.answer is None:
            self.check_usage()  # the kernel may have ended it at a limit
        cpu_seconds = self.job["limits"]["cpu_seconds"]
        if number == signal.SIGXCPU and cpu_seconds is not None and box.answer is None:
            self.end("timeout", f"CPU time limit of {cpu_seconds:g} s")
        if box is self.evaluator:
            if number == signal.SIGXFSZ:
                self.end("crashed", f"file size limit of {self.job['limits']['file_mb']} MiB")
            else:
                self.end("crashed", f"the evaluator {how} and gave no result")
        else:
            self.drain(box)
            for fd in (box.channel, *box.outputs):
                self.poller.forget(fd)
            self.calls.ended(box, how)

    # Freezing and ending

    def freeze(self) -> None:
        """Stop every process. Messages already sent wait for `thaw`, since the clocks stand still."""
        if self.clock.since is None:
            return
        self.clock.stop()
        for box in self.boxes:
            self.poller.hold(box.channel)
        if self.cgroup is not None:
            self.cgroup.stop()
        stop_tree(os.getpid())

    def thaw(self) -> None:
        if self.clock.since is not None:
            return
        for box in self.boxes:
            self.poller.release(box.channel)
        continue_tree(os.getpid())
        self.clock.go()

    def end(self, status: str, reason: str) -> None:
        """Set the result of the evaluation, unless it is already set."""
        if self.result is None:
            self.result = {"status": status, "score": None, "metrics": {}, "reason": reason}

    def kill(self, seconds: float) -> bool:
        """Kill every process of the evaluation; return whether all ended in time."""
        for box in self.boxes:
            if box.status is None:
                send_signal(box.pid, signal.SIGKILL)
        for nursery in self.nurseries:
            nursery.end()
        if self.cgroup is not None and not self.wrapped:
            self.cgroup.kill()
        return end_tree(os.getpid(), self.wake[0], self.wrapped, seconds)

    def drain(self, box: Box) -> None:
        """Read the remaining output from a box's pipes."""
        for fd, capture in ((box.outputs[0], self.captures[0]), (box.outputs[1], self.captures[1])):
            for _ in range(64):
                before = capture.total
                if self.poller.knows(fd):
                    self.on_output(fd, capture)
                if capture.total == before:
                    break

    def finish(self) -> int:
        """End all processes, deliver the outcome or store it in the folder, and return the exit code."""
        seconds = self.clock.now()
        dead = self.kill(10.0)
        if self.job:
            for box in self.boxes:
                self.drain(box)
        outcome = None
        if self.result is not None and not self.fault:
            outcome = make_outcome(self.result, self.job, self.usage, self.captures, seconds)
        if self.fault:
            self.link.tell({"type": "fault", "message": self.fault})
        elif outcome is not None and not self.abandoned:
            if self.progress:
                self.link.tell({"type": "progress", "items": self.progress})
            self.link.tell({"type": "done", "outcome": outcome})
        while not (self.acknowledged or self.abandoned):
            self.poller.turn(None)
        # One of a build is never taken up again, and what a command of a person prints may hold a key.
        kept = outcome if not self.job.get("is_build") else None
        if kept is not None and kept["status"] != "cancelled" and not self.acknowledged:
            spool(self.folder, kept)
        while not dead:
            dead = self.kill(60.0)
        if self.cgroup is not None and not self.cgroup.remove():
            sys.stderr.write(f"its cgroup cannot be removed: {self.cgroup.folders}\n")
        if self.acknowledged:
            discard(self.folder)
        return 0
