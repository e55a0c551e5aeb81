"""Prepare and start an evaluation: its job, folder, command lines and supervisor process."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hashlib
import os
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import EvolveError
from engine.evaluation import sandbox as sb
from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, VARIABLE
from engine.evaluation.cgroups import configured_cgroups
from engine.evaluation.kernel import encode_confinement
from engine.evaluation.landlock import GUARDS_FROM
from engine.evaluation.watch import mark_of
from engine.task.spec import Limits

__all__ = ["Job", "Plan", "guarantee_of", "job_spec", "make_folder", "make_plan", "prepare", "spawn"]

_NO_FILE = "/use-evolve_task.call-or-source/program.py"
_HERE = str(Path(__file__).parent)
_SUPERVISOR = (
    "import sys; sys.path.insert(0, sys.argv[1]); from supervisor.main import main; main(sys.argv[2], sys.argv[3:])"
)
"""The supervisor runs without the package `engine`, whose imports would take longer than all of its work."""


@dataclass(frozen=True)
class Job:
    """One evaluation: one program, one stage, one repeat."""

    program: str
    """The candidate's source text."""
    task_folder: Path
    folder: Path
    """The evaluation's own folder, created at its start and removed by `acknowledge`."""
    metric: str
    """The key of the score in the value that `evaluate` returns."""
    guarded: bool
    gpu: bool
    python: str | None
    mounts: list[str]
    """More folders that the evaluator may read, absolute or relative to the task folder."""
    stage: str
    repeat: int
    seed: int
    settings: dict[str, Any]
    limits: Limits
    threads: int
    device: str = ""
    """The assigned GPU, in the format of CUDA_VISIBLE_DEVICES."""
    data_seed: int | None = None
    """The seed of data that the candidate is judged on; `seed` by default."""
    sandbox_seed: int | None = None
    """The seed that the candidate's process may see; by default one that `seed` is hashed to."""


def guarantee_of(job: Job, sandbox: sb.Sandbox) -> Literal["guarded", "open"]:
    return "guarded" if job.guarded and sandbox.guards else "open"


async def prepare(job: Job) -> tuple[sb.Sandbox, sb.Interpreter]:
    """Find the sandbox of this machine and the task's interpreter; run in a thread the first time, then cached.

    Raises:
        EvolveError: the interpreter does not run or is too old, or the sandbox's settings are invalid.
    """
    said = [os.environ.get(name) for name in ("PATH", VARIABLE, LANDLOCK_VARIABLE)]
    key = (*said, job.python, job.task_folder)
    if key not in _known:
        _known[key] = await asyncio.to_thread(_find_out, job)
    if _known[key][0].name == "limits":
        # PR_SET_DUMPABLE: a candidate of the same user may neither read nor write this process's memory and variables.
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    return _known[key]


_known: dict[Any, tuple[sb.Sandbox, sb.Interpreter]] = {}


def _find_out(job: Job) -> tuple[sb.Sandbox, sb.Interpreter]:
    return sb.find_sandbox(), sb.find_interpreter(job.python, job.task_folder)


def make_folder(job: Job) -> None:
    """Create the evaluation's folder with the program and an empty scratch folder."""
    scratch = job.folder / "scratch"
    if scratch.exists():
        from engine.evaluation.supervisor.folders import remove_tree

        remove_tree(str(scratch))  # left by an attempt that ended with its engine
    scratch.mkdir(parents=True, mode=0o700)
    (job.folder / "program.py").write_bytes(job.program.encode("utf-8", "surrogatepass"))


def spawn(job: Job, sandbox: sb.Sandbox, command: list[str]) -> tuple[socket.socket, int]:
    """Start the supervisor, which starts the evaluator's command at once.

    Returns:
        The engine's socket to the supervisor, and the supervisor's process id.
    """
    environment = sb.environment(sandbox, f"{job.folder}/scratch", job.threads, job.gpu, job.device)
    log = (os.POSIX_SPAWN_OPEN, 2, f"{job.folder}/supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    control, theirs = socket.socketpair()
    channel, channel_of_child = socket.socketpair()
    with theirs, channel, channel_of_child:
        # Above the numbers that they get in the supervisor, so that none is overwritten before it is copied.
        fds = [fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, 16) for end in (theirs, channel, channel_of_child)]
        targets = [(fds[0], 0), (fds[0], 1), (fds[1], 4), (fds[2], 5)]
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", _SUPERVISOR, _HERE, str(job.folder), *command],
                environment,
                file_actions=[log, *((os.POSIX_SPAWN_DUP2, fd, target) for fd, target in targets)],
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


@dataclass(frozen=True)
class Plan:
    """How the processes of an evaluation are started and confined: command lines, and the rules of Landlock."""

    evaluator: list[str]
    candidate: list[str]
    evaluator_rules: dict[str, Any] | None
    """None if Landlock does not confine them."""
    candidate_rules: dict[str, Any] | None


def make_plan(job: Job, sandbox: sb.Sandbox, interpreter: sb.Interpreter) -> Plan:
    """Return how to start a job's processes; jobs differ only in the evaluation's folder.

    Raises:
        EvolveError: one of the task's `mounts` does not exist.
    """
    limits = job.limits
    key = (
        sandbox,
        interpreter,
        job.task_folder,
        *job.mounts,
        job.guarded,
        job.gpu,
        limits.memory_mb,
        limits.file_mb,
        job.folder.parent,
    )
    if key not in _built:
        _built[key] = _make_plan(job, sandbox, interpreter)
    folder = str(job.folder)
    plan = _built[key]
    evaluator, candidate = (
        [folder + word[len(_FOLDER) :] if word.startswith(_FOLDER) else word for word in words]
        for words in (plan.evaluator, plan.candidate)
    )
    return replace(plan, evaluator=evaluator, candidate=candidate)


def _make_plan(job: Job, sandbox: sb.Sandbox, interpreter: sb.Interpreter) -> Plan:
    mounts = [os.path.normpath(job.task_folder / mount) for mount in job.mounts]
    for mount in mounts:
        if not Path(mount).exists():
            raise EvolveError(f"'{mount}' of the task's `mounts` does not exist", "Correct `mounts` in task.toml")
    hidden = {
        path for folder in (sb.HARNESS.parents[1], _run_folder(job.folder)) for path in (folder, folder.resolve())
    }
    candidate = sb.View(
        interpreter=interpreter,
        scratch=f"{_FOLDER}/scratch",
        program=f"{_FOLDER}/program.py",
        hidden=tuple(sorted(map(str, hidden))),
        gpu=job.gpu,
        memory_mb=job.limits.memory_mb,
        scratch_mb=_scratch_mb(job.limits),
    )
    # A candidate never sees the task's files: its evaluator and held-out data are among them.
    evaluator = replace(
        candidate, readable=(str(job.task_folder), *mounts), program="" if job.guarded else candidate.program
    )
    return Plan(
        sb.build_command(sandbox, evaluator, "evaluator"),
        sb.build_command(sandbox, candidate, "candidate"),
        sb.plan_landlock(sandbox, evaluator),
        sb.plan_landlock(sandbox, candidate),
    )


_FOLDER = "\0"
"""Placeholder for the evaluation's folder at the start of a word of the command line."""
_built: dict[Any, Plan] = {}


def _scratch_mb(limits: Limits) -> int:
    """Return what a scratch folder may hold: one file may reach `file_mb`, and a program may need a few such files."""
    return int(max(4 * limits.file_mb, 64))


def _address_space(job: Job) -> int:
    """Return the bytes that a process may map if no cgroup counts what it touches, or 0 for no bound.

    Generous, since libraries map far more than they use; it bounds page tables and memory kept without a process. With
    a GPU there is none: a driver maps all of the GPU's memory and more.
    """
    if job.gpu or configured_cgroups().bounds_memory:
        return 0
    return 4 * job.limits.memory_mb * 2**20 + 64 * 2**30


def _run_folder(folder: Path) -> Path:
    """Return the run's folder: the nearest one above the evaluation with a journal, else the evaluation's parent."""
    for above in list(folder.parents)[:3]:
        if (above / "run.db").exists():
            return above
    return folder.parent


def _hashed(seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"sandbox {seed}".encode()).digest()[:4], "big") >> 1


def job_spec(job: Job, sandbox: sb.Sandbox, plan: Plan, supervisor: int) -> dict[str, Any]:
    """Encode the job for the supervisor, whose process id is given."""
    inside = sb.INSIDE if sandbox.path else str(job.folder)
    shared = {"sandbox": sandbox.name, "mark": mark_of(job.folder), "address_space": _address_space(job)}
    # Elsewhere a namespace, or Landlock, keeps signals in.
    exposed = not sandbox.path and sandbox.landlock < GUARDS_FROM
    protected = [os.getpid(), os.getpgrp(), supervisor] if exposed else []

    # Drivers of GPUs need them. Elsewhere they are refused if only a look at open files could count them.
    memfds = job.gpu or configured_cgroups().bounds_memory

    def confinement(rules: dict[str, Any] | None) -> dict[str, Any]:
        return encode_confinement(sandbox.name, sandbox.seccomp, sandbox.landlock, rules, protected, memfds)

    return {
        "limits": msgspec.to_builtins(job.limits),
        "sandbox": sandbox.name,
        "guarantee": guarantee_of(job, sandbox),
        "scratch": f"{job.folder}/scratch",
        "scratch_mb": _scratch_mb(job.limits),
        "scratch_in_memory": bool(sb.in_memory(sandbox)),
        "cgroup": configured_cgroups().parents,
        "evaluator": {
            **shared,
            "confinement": confinement(plan.evaluator_rules),
            "metric": job.metric,
            "guarded": job.guarded,
            "stage": job.stage,
            "repeat": job.repeat,
            "seed": job.seed,
            "data_seed": job.seed if job.data_seed is None else job.data_seed,
            "sandbox_seed": _hashed(job.seed) if job.sandbox_seed is None else job.sandbox_seed,
            "settings": job.settings,
            "device": job.device,
            "task_folder": str(job.task_folder),
            "scratch": f"{inside}/scratch",
            "program_path": _NO_FILE if job.guarded else f"{inside}/program.py",
        },
        "candidate": {
            "command": plan.candidate,
            "job": {
                **shared,
                "confinement": confinement(plan.candidate_rules),
                "program_path": f"{inside}/program.py",
            },
        },
    }
