"""The engine's side of an evaluation: start its supervisor, talk to it, take the outcome."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import EvolveError
from engine.evaluation.launch import Job, build_commands, guarantee_of, job_spec, make_folder, prepare, spawn
from engine.evaluation.sandbox import Sandbox
from engine.events import Status

__all__ = ["Evaluation", "Job", "Outcome", "Progress", "recover"]

Progress = Callable[[float | None, dict[str, float]], None]
"""Called with the step and the values of each report, in the event loop."""

_RECOVER_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended."""

    status: Status
    score: float | None
    """Finite, and there exactly where the status is `ok`."""
    metrics: dict[str, Any]
    """What else `evaluate` returned: finite numbers, strings, booleans, None, short lists of numbers."""
    reason: str
    """Why it is not `ok`, one line; empty where it is."""
    guarantee: Literal["guarded", "open"]
    sandbox: Literal["bubblewrap", "limits"]
    seconds: float
    """Wall clock while it was not frozen."""
    cpu_seconds: float
    peak_mb: float
    """Memory of all its processes at its highest, in MiB."""
    stdout: bytes
    """The first and last 64 KiB of what was printed, as it came."""
    stderr: bytes


class Evaluation:
    """A running evaluation. `start` makes one; `acknowledge` ends its hold on the machine."""

    def __init__(self, job: Job, sandbox: Sandbox, on_progress: Progress, control: socket.socket, pid: int) -> None:
        self._job = job
        self._sandbox = sandbox
        self._on_progress = on_progress
        self._control = control
        self._pid = pid
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Outcome] = self._loop.create_future()
        # An outcome that nobody waits for any more is no error.
        self._outcome.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._loop.add_reader(control.fileno(), self._read)

    @classmethod
    async def start(cls, job: Job, on_progress: Progress) -> Evaluation:
        """Start an evaluation in a supervisor of its own.

        Must be called in the event loop's thread: confined processes end with the thread that started them.

        Args:
            on_progress: called with (step, values) for each report of the evaluator.

        Raises:
            EvolveError: the folder cannot be made, one of `mounts` is missing, or the interpreter does not run.
        """
        job = replace(job, folder=job.folder.absolute(), task_folder=job.task_folder.absolute())
        sandbox, interpreter = await prepare(job)
        command, candidate = build_commands(job, sandbox, interpreter)
        try:
            make_folder(job)
            control, pid = spawn(job, sandbox, command)
        except OSError as exc:
            raise EvolveError(
                f"an evaluation cannot be started in {job.folder}: {exc}",
                "See to it that there is space and that the folder can be written",
            ) from None
        evaluation = cls(job, sandbox, on_progress, control, pid)
        evaluation._send(job_spec(job, sandbox, candidate))
        return evaluation

    async def outcome(self) -> Outcome:
        """Wait for the end. Cancelling this wait does not cancel the evaluation.

        Raises:
            EvolveError: it could not run, for a reason that is not the candidate's.
        """
        return await asyncio.shield(self._outcome)

    def freeze(self) -> None:
        """Stop all its processes; its clocks stand still."""
        self._send({"do": "freeze"})

    def thaw(self) -> None:
        """Let a frozen evaluation go on."""
        self._send({"do": "thaw"})

    def cancel(self, reason: str) -> None:
        """End it; its outcome is `cancelled` with this reason, unless it has ended by itself already."""
        self._send({"do": "cancel", "reason": reason})

    async def acknowledge(self) -> None:
        """Say that the outcome is safe in the journal: the supervisor goes, and the folder with it.

        Without this the supervisor leaves the outcome in the folder, for `recover`, when the engine ends.
        """
        self._send({"do": "acknowledge"})
        await asyncio.shield(self._gone)
        if self._job.folder.exists():
            from engine.evaluation.supervisor import remove_tree

            try:
                await asyncio.to_thread(remove_tree, str(self._job.folder))
            except OSError as exc:
                raise EvolveError(f"{self._job.folder} cannot be removed: {exc}") from None

    # The conversation

    def _send(self, message: dict[str, Any]) -> None:
        if self._gone.done():
            return
        self._outbox += msgspec.json.encode(message) + b"\n"
        self._write()

    def _write(self) -> None:
        try:
            del self._outbox[: self._control.send(self._outbox)]
        except BlockingIOError:
            pass  # the loop says when there is room again
        except OSError:
            self._outbox.clear()  # the supervisor has ended: the end of file follows
        if self._outbox:
            self._loop.add_writer(self._control.fileno(), self._write)
        else:
            self._loop.remove_writer(self._control.fileno())

    def _read(self) -> None:
        try:
            data = self._control.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control.fileno())
            self._loop.remove_writer(self._control.fileno())
            self._control.close()
            self._reap(0.001)
            return
        self._inbox += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._inbox).split(b"\n")
        self._inbox = bytearray(rest)
        for line in lines:
            self._receive(json.loads(line))

    def _receive(self, message: dict[str, Any]) -> None:
        if message["type"] == "progress":
            for step, values in message["items"]:
                self._on_progress(step, values)
        elif message["type"] == "done":
            if not self._outcome.done():
                self._outcome.set_result(_to_outcome(message["outcome"]))
        elif not self._outcome.done():
            hint = "'evolve doctor' checks the sandbox; `python` and `mounts` in task.toml name what it shows"
            self._outcome.set_exception(EvolveError(f"the evaluation could not run: {message['message']}", hint))

    def _reap(self, pause: float) -> None:
        """Collect the ended supervisor; its exit follows the end of file within moments."""
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._pid, 0  # somebody else in this process collects every child
        if not pid:
            self._loop.call_later(pause, self._reap, min(2 * pause, 0.1))
            return
        if not self._outcome.done():
            self._lose(os.waitstatus_to_exitcode(status))
        self._gone.set_result(None)

    def _lose(self, code: int) -> None:
        """The supervisor ended without an outcome."""
        if not self._sandbox.path:
            _kill_left(self._job.folder)
        if code >= 0:
            try:
                lines = (self._job.folder / "supervisor.log").read_text("utf-8", "replace").strip().splitlines()
            except OSError:
                lines = []
            said = lines[-1] if lines else f"exit code {code}"
            self._outcome.set_exception(EvolveError(f"the supervisor of an evaluation failed: {said}"))
            return
        self._outcome.set_result(
            Outcome(
                status="crashed",
                score=None,
                metrics={},
                reason=f"its supervisor was killed by {signal.Signals(-code).name}",
                guarantee=guarantee_of(self._job, self._sandbox),
                sandbox="bubblewrap" if self._sandbox.path else "limits",
                seconds=0.0,
                cpu_seconds=0.0,
                peak_mb=0.0,
                stdout=b"",
                stderr=b"",
            )
        )


async def recover(folder: Path) -> Outcome | None:
    """The outcome that a supervisor left because no engine took it, or None where the evaluation did not end.

    Waits up to 10 seconds for a supervisor that is still ending its processes. The folder stays as it is.

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
            return _to_outcome(json.loads((folder / "outcome.json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None
    finally:
        if lock >= 0:
            os.close(lock)


def _to_outcome(found: dict[str, Any]) -> Outcome:
    streams = {name: base64.b64decode(found[name]) for name in ("stdout", "stderr")}
    return Outcome(**{**found, **streams})


def _kill_left(folder: Path) -> None:
    """Kill what a killed supervisor left behind where no namespace holds it: what carries the evaluation's folder."""
    mark = f"{folder}/scratch".encode()
    for _ in range(20):
        found = False
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != os.getpid() and _carries(process, mark):
                found = _kill(int(process.name)) or found
        if not found:
            return


def _carries(process: Path, mark: bytes) -> bool:
    """Whether a process has the mark in its environment or its command line."""
    for name in ("environ", "cmdline"):
        try:
            if mark in (process / name).read_bytes():
                return True
        except OSError:
            continue  # gone, or not to be looked into
    return False


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return False  # gone, or another user's who names our folder
    return True
