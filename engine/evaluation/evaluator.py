"""The engine's side of an evaluation: start its supervisor, exchange messages with it, receive the outcome."""

from __future__ import annotations

import asyncio
import base64
import codecs
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from engine.errors import EvolveError
from engine.evaluation.cgroups import configured_cgroups, end_abandoned
from engine.evaluation.launch import (
    Job,
    Plan,
    environment_of,
    find_warm,
    guarantee_of,
    job_spec,
    make_folder,
    make_plan,
    prepare,
    spawn,
)
from engine.evaluation.outcome import Outcome, Place
from engine.evaluation.sandbox import Sandbox
from engine.evaluation.warm import Warm
from engine.evaluation.watch import SupervisorWatch, sweep_marked

__all__ = ["Evaluation", "Job", "Outcome", "Place", "Printed", "Progress", "Stream", "recover"]

Progress = Callable[[float | None, dict[str, float]], None]
"""Callback for the step and the values of each report; runs in the event loop."""

Stream = Literal["stdout", "stderr"]

Printed = Callable[[Stream, str, int], None]
"""Callback for what a stream printed since the last call, and how many bytes of it are left out before it; runs in the
event loop, about once a second."""

_RECOVER_SECONDS = 10.0
_RETRIES = (0.1, 0.4)
"""Seconds to wait before each retry of a start."""
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Error numbers for a temporary lack of processes, memory or descriptors."""
_worked: set[tuple[Path, str | None]] = set()
"""Task folders and interpreters that have completed an evaluation: a later failure to start is not a mistake in the
task's settings."""


class Evaluation:
    """A running evaluation. `start` creates one; `acknowledge` releases its processes and its folder.

    If its processes cannot be started (the sandboxed interpreter is killed before it runs, or the system is short of
    processes), the start is repeated up to twice.
    """

    def __init__(
        self, job: Job, sandbox: Sandbox, plan: Plan, on_progress: Progress, on_printed: Printed | None = None
    ) -> None:
        self._job = job
        self._sandbox = sandbox
        self._plan = plan
        self._on_progress = on_progress
        self._on_printed = on_printed
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        """By stream; a character may be cut between two messages."""
        self._control: socket.socket | None = None
        self._pid = 0
        self._watch: SupervisorWatch | None = None
        self._pauses = list(_RETRIES)
        self._fault = False
        """Whether another supervisor must follow the one that runs now."""
        self._warm: Warm | None = None
        """What its processes are forked from; None if they start cold."""
        self._cold = False
        """Whether they must start cold, because forking them has failed."""
        self._frozen = False
        self._cancelled: str | None = None
        self._ending: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._outcome: Outcome | EvolveError | None = None
        # Events, not futures: a waiter that is cancelled leaves them alone, and needs no shield.
        self._decided = asyncio.Event()
        """Set once there is an outcome, or a reason why there is none."""
        self._gone = asyncio.Event()
        """Set once all of its processes have ended."""
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._writing = False
        """Whether the event loop calls once there is room for the outbox."""

    @classmethod
    async def start(cls, job: Job, on_progress: Progress, on_printed: Printed | None = None) -> Evaluation:
        """Start an evaluation in a supervisor of its own.

        Call it in the event loop's thread: confined processes end with the thread that started them.

        Args:
            on_progress: called with (step, values) for each report of the evaluator.
            on_printed: called with what the evaluation prints while it runs; the outcome has it, too.

        Raises:
            EvolveError: the folder cannot be made, one of `mounts` is missing, or the interpreter does not run.
        """
        if not (job.folder.is_absolute() and job.task_folder.is_absolute()):
            job = replace(job, folder=job.folder.absolute(), task_folder=job.task_folder.absolute())
        sandbox, interpreter = await prepare(job)
        evaluation = cls(job, sandbox, make_plan(job, sandbox, interpreter), on_progress, on_printed)
        await evaluation._start()
        return evaluation

    async def _start(self) -> None:
        """Start the supervisor; retry if the system is short of processes.

        Raises:
            EvolveError: it cannot be started, for a permanent reason.
        """
        job = self._job
        environment = environment_of(job, self._sandbox)
        while True:
            try:
                make_folder(job, self._sandbox)
                self._warm = await find_warm(job, self._plan, environment) if not self._cold else None
                self._control, self._pid = spawn(job, self._sandbox, self._plan.evaluator, environment, self._warm)
                break
            except OSError as exc:
                if isinstance(exc, ConnectionError) and self._warm is not None:
                    self._cool(str(exc))
                    continue
                if exc.errno in _SHORTAGES and self._pauses:
                    await asyncio.sleep(self._pauses.pop(0))
                    continue
                error = EvolveError(
                    f"an evaluation cannot be started in {job.folder}: {exc}",
                    "See to it that there is space and that the folder can be written",
                )
                if exc.errno not in _SHORTAGES or self._key not in _worked:
                    raise error from None
                self._settle_crash(str(error))
                self._gone.set()
                return
        self._inbox.clear()
        self._outbox.clear()
        self._loop.add_reader(self._control.fileno(), self._read)
        self._watch = SupervisorWatch(self._pid, lambda: self._send({"do": "ping"}), self._end_of_supervisor)
        self._send(job_spec(job, self._sandbox, self._plan, self._pid))
        if self._frozen:
            self._send({"do": "freeze"})
        if self._cancelled is not None:
            self._send({"do": "cancel", "reason": self._cancelled})

    @property
    def warm(self) -> bool:
        """Whether its processes are forked."""
        return self._warm is not None

    @property
    def _key(self) -> tuple[Path, str | None]:
        return self._job.task_folder, self._job.python

    async def outcome(self) -> Outcome:
        """Wait for the outcome. Cancelling this wait does not cancel the evaluation.

        Raises:
            EvolveError: the evaluation could not run, for a reason other than the candidate.
        """
        await self._decided.wait()
        if isinstance(self._outcome, Outcome):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    def freeze(self) -> None:
        """Stop all its processes and its clocks."""
        self._frozen = True
        self._send({"do": "freeze"})

    def thaw(self) -> None:
        """Continue a frozen evaluation."""
        self._frozen = False
        self._send({"do": "thaw"})

    def cancel(self, reason: str) -> None:
        """End it with the outcome `cancelled` and this reason, unless it has already ended.

        Only a waiting caller receives that outcome: `recover` never returns a cancelled one.
        """
        self._cancelled = reason
        self._send({"do": "cancel", "reason": reason})

    async def acknowledge(self) -> None:
        """Confirm that the outcome is in the journal: the supervisor deletes the folder and exits.

        Without this the supervisor leaves the outcome in the folder for `recover` when the engine ends.
        """
        self._send({"do": "acknowledge"})
        await self._gone.wait()
        if self._job.folder.exists():
            from engine.evaluation.supervisor.folders import remove_tree

            try:
                await asyncio.to_thread(remove_tree, str(self._job.folder))
            except OSError as exc:
                raise EvolveError(f"{self._job.folder} cannot be removed: {exc}") from None

    # Messages

    def _send(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return  # it has ended; if another attempt follows, that is sent the order when it starts
        self._outbox += msgspec.json.encode(message) + b"\n"
        self._write()

    def _write(self) -> None:
        assert self._control is not None
        try:
            del self._outbox[: self._control.send(self._outbox)]
        except BlockingIOError:
            pass  # the event loop calls again once there is room
        except OSError:
            self._outbox.clear()  # the supervisor has ended; end of file follows
        if self._outbox and not self._writing:
            self._loop.add_writer(self._control.fileno(), self._write)
        elif self._writing and not self._outbox:
            self._loop.remove_writer(self._control.fileno())
        self._writing = bool(self._outbox)

    def _read(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        if self._watch is not None:
            self._watch.heard()
        self._inbox += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._inbox).split(b"\n")
        self._inbox = bytearray(rest)
        for line in lines:
            self._receive(json.loads(line))

    def _hang_up(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control.fileno())
            if self._writing:
                self._loop.remove_writer(self._control.fileno())
                self._writing = False
            self._control.close()
            self._control = None

    def _receive(self, message: dict[str, Any]) -> None:
        if message["type"] == "pong":
            return
        if message["type"] == "progress":
            for step, values in message["items"]:
                self._on_progress(step, values)
        elif message["type"] == "output":
            self._take_output(message)
        elif message["type"] == "done":
            if not self._decided.is_set():
                outcome = _to_outcome(message["outcome"])
                if outcome.status != "cancelled":
                    _worked.add(self._key)
                self._decide(outcome)
        elif not self._decided.is_set():
            self._fail(message["message"])
            if self._fault:
                self._send({"do": "acknowledge"})

    def _take_output(self, message: dict[str, Any]) -> None:
        if self._on_printed is None:
            return
        stream, left_out = cast(Stream, message["stream"]), message["left_out"]
        if left_out or stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        self._on_printed(stream, self._decoders[stream].decode(message["text"].encode("latin-1")), left_out)

    def _decide(self, outcome: Outcome | EvolveError) -> None:
        self._outcome = outcome
        self._decided.set()

    def _fail(self, what: str) -> None:
        """Handle a failed start: schedule another attempt, or settle the outcome."""
        self._cool(what)
        if self._pauses:
            self._fault = True
            return
        message = f"the evaluation could not run: {what}"
        if self._key in _worked:
            self._settle_crash(message)
        else:
            hint = "'evolve doctor' checks the sandbox; `python` and `mounts` in task.toml name what it shows"
            self._decide(EvolveError(message, hint))

    def _cool(self, reason: str) -> None:
        """Start this evaluation's processes cold from now on."""
        self._cold = True
        if self._warm is not None:
            self._warm.cool(reason)
            self._warm = None

    async def _restart(self) -> None:
        await asyncio.sleep(self._pauses.pop(0))
        try:
            await self._start()
        except EvolveError as exc:
            self._decide(exc)
            self._gone.set()

    def _end_of_supervisor(self) -> None:
        """Read the supervisor's last messages, reap it, and settle the outcome if it did not."""
        for _ in range(1000):
            if self._control is None:
                break
            self._read()
        # Its end of the socket may be held open by a process that inherited it.
        self._hang_up()
        try:
            status = os.waitpid(self._pid, 0)[1]
        except ChildProcessError:
            status = 0  # other code in this process has reaped it
        if self._decided.is_set() and not self._fault:
            self._gone.set()
        else:
            self._ending = self._loop.create_task(self._conclude(os.waitstatus_to_exitcode(status)))

    async def _conclude(self, code: int) -> None:
        if not self._decided.is_set() and not self._fault:
            await asyncio.to_thread(end_abandoned, configured_cgroups())
            if not self._sandbox.path or self._job.trusted:
                await asyncio.to_thread(sweep_marked, self._job.folder)
            self._lose(code)
        if self._fault:
            self._fault = False
            self._ending = self._loop.create_task(self._restart())
        else:
            self._gone.set()

    def _lose(self, code: int) -> None:
        """Handle a supervisor that ended without an outcome."""
        if self._watch is not None and self._watch.fault:
            self._settle_crash(self._watch.fault)
            return
        if code < 0:
            self._settle_crash(f"its supervisor was killed by {signal.Signals(-code).name}")
            return
        try:
            lines = (self._job.folder / "supervisor.log").read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        said = lines[-1] if lines else f"exit code {code}"
        from engine.evaluation.supervisor.main import FAULT

        if code == FAULT:
            self._fail(f"its supervisor says: {said}")
        else:
            self._settle_crash(f"its supervisor failed: {said}")

    def _settle_crash(self, reason: str) -> None:
        self._decide(
            Outcome(
                status="crashed",
                score=None,
                metrics={},
                reason=" ".join(reason.split()),
                guarantee=guarantee_of(self._job, self._sandbox),
                sandbox=self._sandbox.name,
                seconds=0.0,
                cpu_seconds=0.0,
                peak_mb=0.0,
                stdout=b"",
                stderr=b"",
            )
        )


async def recover(folder: Path) -> Outcome | None:
    """Return the outcome that a supervisor left for lack of an engine, or None if the evaluation did not finish.

    A cancelled evaluation did not finish: the caller that cancelled it had not yet decided what follows. Wait up to 10
    seconds for a supervisor that is still ending its processes. The folder is left unchanged.

    Args:
        folder: the evaluation's folder, as in its job.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _RECOVER_SECONDS
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        lock = -1
    try:
        while lock >= 0 and loop.time() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                await asyncio.sleep(0.02)
        try:
            outcome = _to_outcome(json.loads((folder / "outcome.json").read_bytes()))
            return outcome if outcome.status != "cancelled" else None
        except (OSError, ValueError, TypeError, KeyError):
            return None
    finally:
        if lock >= 0:
            os.close(lock)


def _to_outcome(found: dict[str, Any]) -> Outcome:
    streams = {name: base64.b64decode(found[name]) for name in ("stdout", "stderr")}
    return Outcome(**{**found, **streams})
