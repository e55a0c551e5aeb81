"""The engine's side of an evaluation: start its supervisor, talk to it, take the outcome."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import functools
import json
import os
import py_compile
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import EvolveError
from engine.evaluation import sandbox as sb
from engine.evaluation.supervisor import remove_tree
from engine.task import Limits

__all__ = ["Evaluation", "Job", "Outcome", "Progress", "recover"]

Progress = Callable[[float | None, dict[str, float]], None]
"""Called with the step and the values of each report, in the event loop."""

_NO_FILE = "/use-evolve_task.call-or-source/program.py"
_RECOVER_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """One evaluation: one program, one stage, one repeat."""

    program: str
    """Its source text."""
    task_folder: Path
    folder: Path
    """The evaluation's own folder. It is made here, and removed by `acknowledge`."""
    metric: str
    """The key of the score in what `evaluate` returns."""
    guarded: bool
    gpu: bool
    python: str | None
    mounts: list[str]
    """Further folders that the evaluator may read, absolute or relative to the task folder."""
    stage: str
    repeat: int
    seed: int
    settings: dict[str, Any]
    limits: Limits
    threads: int
    device: str = ""
    """The GPU it is given, as CUDA_VISIBLE_DEVICES takes it."""


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended."""

    status: Literal["ok", "invalid", "crashed", "timeout", "cancelled"]
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

    def __init__(self, job: Job, sandbox: sb.Sandbox, on_progress: Progress, control: socket.socket, pid: int) -> None:
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
            EvolveError: the folder cannot be made, or the interpreter or the supervisor cannot be started.
        """
        sandbox, interpreter = await _prepare(job)
        try:
            _make_folder(job)
            control, pid = _spawn(job, sandbox, interpreter)
        except OSError as exc:
            raise EvolveError(
                f"an evaluation cannot be started in {job.folder}: {exc}",
                "See to it that there is space and that the folder can be written",
            ) from None
        evaluation = cls(job, sandbox, on_progress, control, pid)
        evaluation._send(_spec(job, sandbox, interpreter))
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
                guarantee=_guarantee(self._job, self._sandbox),
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


def _guarantee(job: Job, sandbox: sb.Sandbox) -> Literal["guarded", "open"]:
    return "guarded" if job.guarded and sandbox.path else "open"


async def _prepare(job: Job) -> tuple[sb.Sandbox, sb.Interpreter]:
    """What has to be found out once about this machine and the task's interpreter, in a thread the first time."""
    key = (os.environ.get("PATH"), job.python, job.task_folder)
    known = _known.get(key)
    if known is None:
        known = await asyncio.to_thread(
            lambda: (sb.find_sandbox(), sb.find_interpreter(job.python, job.task_folder), _supervisor_script())[:2]
        )
        _known[key] = known
    return known


_known: dict[tuple[str | None, str | None, Path], tuple[sb.Sandbox, sb.Interpreter]] = {}


@functools.cache
def _supervisor_script() -> str:
    """The supervisor as compiled code, which starts 5 ms sooner; as text where it cannot be written."""
    source = Path(__file__).with_name("supervisor.py")
    try:
        return py_compile.compile(str(source), doraise=True) or str(source)
    except (OSError, py_compile.PyCompileError):
        return str(source)


def _make_folder(job: Job) -> None:
    scratch = job.folder / "scratch"
    if scratch.exists():
        shutil.rmtree(scratch)  # an earlier attempt that an engine's death cut short
    scratch.mkdir(parents=True, mode=0o700)
    (job.folder / "program.py").write_bytes(job.program.encode("utf-8", "surrogatepass"))


def _spawn(job: Job, sandbox: sb.Sandbox, interpreter: sb.Interpreter) -> tuple[socket.socket, int]:
    """Start the supervisor, which starts the evaluator at once; the engine's end of the conversation and the pid."""
    command = _commands(job, sandbox, interpreter)[0]
    environment = sb.environment(sandbox, f"{job.folder}/scratch", job.threads, job.gpu, job.device)
    control, theirs = socket.socketpair()
    channel, channel_of_child = socket.socketpair()
    with theirs, channel, channel_of_child:
        # Above the numbers that they are given in the supervisor, so that none is overwritten before it is copied.
        fds = [fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, 16) for end in (theirs, channel, channel_of_child)]
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", _supervisor_script(), str(job.folder), *command],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fds[0], 0),
                    (os.POSIX_SPAWN_DUP2, fds[0], 1),
                    (
                        os.POSIX_SPAWN_OPEN,
                        2,
                        f"{job.folder}/supervisor.log",
                        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
                        0o600,
                    ),
                    (os.POSIX_SPAWN_DUP2, fds[1], 4),
                    (os.POSIX_SPAWN_DUP2, fds[2], 5),
                ],
                setsid=True,
            )
        except OSError:
            control.close()
            raise
        finally:
            for fd in fds:
                os.close(fd)
    control.setblocking(False)
    return control, pid


def _commands(job: Job, sandbox: sb.Sandbox, interpreter: sb.Interpreter) -> tuple[list[str], list[str]]:
    """The command lines of the evaluator and of a candidate; only the evaluation's folder differs between jobs."""
    key = (sandbox, interpreter, job.task_folder, tuple(job.mounts), job.guarded, job.gpu, job.limits.memory_mb)
    key_with_run = (*key, job.folder.parent)
    built = _built.get(key_with_run)
    if built is None:
        mounts = [os.path.normpath(job.task_folder / mount) for mount in job.mounts]
        missing = [mount for mount in mounts if not Path(mount).exists()]
        if missing:
            raise EvolveError(f"'{missing[0]}' of the task's `mounts` does not exist", "Correct `mounts` in task.toml")
        readable = (str(job.task_folder), *mounts)
        hidden = (str(sb.HARNESS.parents[1]), str(_run_folder(job.folder)))
        views = [
            sb.View(
                interpreter=interpreter,
                scratch=f"{_FOLDER}/scratch",
                program="" if job.guarded and role == "evaluator" else f"{_FOLDER}/program.py",
                readable=readable if role == "evaluator" else (),
                hidden=hidden,
                gpu=job.gpu,
                memory_mb=job.limits.memory_mb,
            )
            for role in ("evaluator", "candidate")
        ]
        built = (sb.build_command(sandbox, views[0], "evaluator"), sb.build_command(sandbox, views[1], "candidate"))
        _built[key_with_run] = built
    folder = str(job.folder)
    return [part.replace(_FOLDER, folder) for part in built[0]], [part.replace(_FOLDER, folder) for part in built[1]]


_FOLDER = "\0folder\0"
_built: dict[Any, tuple[list[str], list[str]]] = {}


def _run_folder(folder: Path) -> Path:
    """The folder of the run that an evaluation belongs to: the one above it that holds a journal, else its parent."""
    for above in list(folder.parents)[:3]:
        if (above / "run.db").exists():
            return above
    return folder.parent


def _spec(job: Job, sandbox: sb.Sandbox, interpreter: sb.Interpreter) -> dict[str, Any]:
    """The job as the supervisor reads it."""
    inside = sb.INSIDE if sandbox.path else str(job.folder)
    shared = {"sandbox": sandbox.name}
    return {
        "limits": msgspec.to_builtins(job.limits),
        "sandbox": sandbox.name,
        "guarantee": _guarantee(job, sandbox),
        "scratch": f"{job.folder}/scratch",
        "evaluator": {
            **shared,
            "metric": job.metric,
            "guarded": job.guarded,
            "stage": job.stage,
            "repeat": job.repeat,
            "seed": job.seed,
            "settings": job.settings,
            "device": job.device,
            "task_folder": str(job.task_folder),
            "scratch": f"{inside}/scratch",
            "program_path": _NO_FILE if job.guarded else f"{inside}/program.py",
        },
        "candidate": {
            "command": _commands(job, sandbox, interpreter)[1],
            "job": {**shared, "program_path": f"{inside}/program.py"},
        },
    }


def _kill_left(folder: Path) -> None:
    """Kill what a killed supervisor left behind where no namespace holds it: what has the evaluation's environment."""
    mark = f"HOME={folder}/".encode()
    for _ in range(20):
        found = False
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and mark in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
            except OSError:
                continue  # another user's, or gone
        if not found:
            return
