"""Prepare and start an evaluation: its job, folder, command lines and supervisor process."""

from __future__ import annotations

import asyncio
import base64
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
from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, VARIABLE, wants_warm
from engine.evaluation.cgroups import configured_cgroups
from engine.evaluation.forker import Forker
from engine.evaluation.interpreter import HARNESS, Interpreter, find_interpreter, own_file
from engine.evaluation.job import Build, Job
from engine.evaluation.kernel import encode_confinement
from engine.evaluation.landlock import GUARDS_FROM
from engine.evaluation.warm import Warm, WarmPlan, WarmStarts, preload_for
from engine.evaluation.watch import mark_of
from engine.task.spec import Limits

__all__ = ["Build", "Job", "Plan", "environment_of", "find_warm", "guarantee_of", "job_spec", "make_folder"]
__all__ += ["make_plan", "prepare", "spawn", "warm_starts"]

_NO_FILE = "/use-evolve_task.call-or-source/program.py"
_CONTAINERS = (
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINER_HOST",
    "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip
_BARE = sb.Sandbox("", "")
"""Around an evaluator that runs unconfined."""
_HERE = str(Path(__file__).parent)
_ERRAND = HARNESS.with_name("evolve_errand.py")
"""What the harness needs for an errand beside itself."""
_SUPERVISOR = (
    "import sys; sys.path.insert(0, sys.argv[1]); from supervisor.main import main; main(sys.argv[2], sys.argv[3:])"
)
"""The supervisor runs without the package `engine`, whose imports would take longer than all of its work."""


def guarantee_of(job: Job, sandbox: sb.Sandbox) -> Literal["guarded", "open"]:
    return "guarded" if job.guarded and sandbox.guards else "open"


async def prepare(job: Job) -> tuple[sb.Sandbox, Interpreter]:
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


_known: dict[Any, tuple[sb.Sandbox, Interpreter]] = {}


def _find_out(job: Job) -> tuple[sb.Sandbox, Interpreter]:
    return sb.find_sandbox(), find_interpreter(job.python, job.task_folder)


def make_folder(job: Job, sandbox: sb.Sandbox) -> None:
    """Create the evaluation's folder with the program, and an empty scratch folder if that does not lie in memory."""
    scratch = job.folder / "scratch"
    if scratch.exists():
        from engine.evaluation.supervisor.folders import remove_tree

        remove_tree(str(scratch))  # left by an attempt that ended with its engine
    if _keeps_scratch_in_memory(job, sandbox):
        job.folder.mkdir(parents=True, exist_ok=True)
    else:
        scratch.mkdir(parents=True, mode=0o700)
    (job.folder / f"program{job.suffix}").write_bytes(job.program.encode("utf-8", "surrogatepass"))
    for path, content in (job.tree or {}).items():
        file = job.folder / "program" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    if job.built is not None:
        built = job.folder / "build"
        built.mkdir(exist_ok=True)
        for name, content in job.built.items():
            (built / name).unlink(missing_ok=True)
            (built / name).write_bytes(content)
            (built / name).chmod(0o555)


async def find_warm(job: Job, plan: Plan, environment: dict[str, str]) -> Warm | None:
    """Return what to fork this job's processes from; None if they start as programs of their own."""
    if plan.warm is None or not wants_warm():
        return None
    try:
        preload = preload_for(job.task_folder, job.program)
    except OSError:
        return None  # the evaluation says so
    return await warm_starts.find(plan.warm, environment, preload)


warm_starts = WarmStarts()
"""Those of this process."""


def environment_of(job: Job, sandbox: sb.Sandbox) -> dict[str, str]:
    """Return the variables of the supervisor."""
    return sb.environment(sandbox, f"{job.folder}/scratch", job.threads, job.gpu, job.device)


def spawn(
    job: Job, sandbox: sb.Sandbox, command: list[str], environment: dict[str, str], warm: Warm | None = None
) -> tuple[socket.socket, int]:
    """Start the supervisor, which starts the evaluator at once.

    Args:
        job: the job.
        sandbox: of this machine.
        command: the evaluator's command line.
        environment: the supervisor's variables.
        warm: what to fork it from instead; the caller starts it cold if that raises.

    Returns:
        The engine's socket to the supervisor, and the supervisor's process id.

    Raises:
        ConnectionError: nothing can be forked there any more.
        OSError: the system is short of something.
    """
    control, theirs = socket.socketpair()
    channel, channel_of_child = socket.socketpair()
    try:
        with theirs, channel, channel_of_child, open(f"{job.folder}/supervisor.log", "wb", opener=_private) as log:
            fds = [end.fileno() for end in (theirs, channel, channel_of_child, log)]
            if warm is not None:
                pid = warm.forker.fork(str(job.folder), [], environment, fds)
            else:
                pid = _fork(str(job.folder), command, environment, fds) if sandbox.path else 0
            pid = pid or _start(str(job.folder), command, environment, fds)
    except OSError:
        control.close()
        raise
    control.setblocking(False)
    return control, pid


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _start(folder: str, command: list[str], environment: dict[str, str], fds: list[int]) -> int:
    """Start a supervisor in an interpreter of its own and return its process id."""
    # Above the numbers that they get in the supervisor, so that none is overwritten before it is copied.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16) for fd in fds]
    targets = [(high[0], 0), (high[0], 1), (high[3], 2), (high[1], 4), (high[2], 5)]
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _SUPERVISOR, _HERE, folder, *command],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for fd, target in targets],
            setsid=True,
        )
    finally:
        for fd in high:
            os.close(fd)


_forker: Forker | None = None
_started = 0
"""Evaluations of this process so far: the process to fork from costs a start, which one evaluation would not earn."""


def _fork(folder: str, command: list[str], environment: dict[str, str], fds: list[int]) -> int:
    """Fork a supervisor; return its process id, or 0 if it is to be started in an interpreter of its own.

    Only where a namespace hides the process that they are forked from: elsewhere a candidate could reach it.

    Raises:
        OSError: the system is short of processes or memory.
    """
    global _forker, _started
    _started += 1
    if _forker is not None and _forker.owner != os.getpid():
        _forker = None
    if _forker is None and (_started < _WORTH_IT or not Forker.works()):
        return 0
    try:
        _forker = _forker or Forker()
        return _forker.fork(folder, command, environment, fds)
    except ConnectionError:
        if _forker is not None:
            _forker.close()
        _forker = None
        return 0


_WORTH_IT = 2


@dataclass(frozen=True)
class Plan:
    """How the processes of an evaluation are started and confined: command lines, and the rules of Landlock."""

    evaluator: list[str]
    candidate: list[str]
    evaluator_rules: dict[str, Any] | None
    """None if Landlock does not confine them."""
    candidate_rules: dict[str, Any] | None
    warm: WarmPlan | None
    """How they are forked instead; None if each starts as a program of its own."""


def make_plan(job: Job, sandbox: sb.Sandbox, interpreter: Interpreter) -> Plan:
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
        job.trusted,
        job.gpu,
        job.suffix,
        job.is_build,
        job.errand is not None and job.errand.network,
        job.errand is not None,
        job.tree is not None,
        job.built is not None,
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


def _make_plan(job: Job, sandbox: sb.Sandbox, interpreter: Interpreter) -> Plan:
    mounts = [os.path.normpath(job.task_folder / mount) for mount in job.mounts]
    for mount in mounts:
        if not Path(mount).exists():
            raise EvolveError(f"'{mount}' of the task's `mounts` does not exist", "Correct `mounts` in task.toml")
    hidden = {path for folder in (HARNESS.parents[1], _run_folder(job.folder)) for path in (folder, folder.resolve())}
    candidate = sb.View(
        interpreter=interpreter,
        scratch=f"{_FOLDER}/scratch",
        program=f"{_FOLDER}/{_name_of(job)}",
        built=f"{_FOLDER}/build" if job.built is not None else "",
        hidden=tuple(sorted(map(str, hidden))),
        gpu=job.gpu,
        memory_mb=job.limits.memory_mb,
        scratch_mb=_scratch_mb(job.limits),
        network=job.errand is not None and job.errand.network,
        errand=job.errand is not None,
    )
    # A candidate never sees the task's files: its evaluator and held-out data are among them.
    # A build is a candidate's too.
    evaluator = replace(candidate, readable=(*(() if job.is_build else (str(job.task_folder),)), *mounts))
    if job.guarded:
        evaluator = replace(evaluator, program="", built="")
    around_evaluator = _BARE if job.trusted else sandbox
    warm = None
    file = own_file(interpreter)
    plain = job.suffix == ".py" and job.tree is None and not job.is_build and job.built is None
    if sandbox.path and sandbox.size and file and plain and not job.trusted and not job.gpu:
        # The file of each evaluation takes the place of this one.
        program = {candidate.program: str(HARNESS)}
        makers = [
            tuple(program.get(word, word) for word in sb.show(replace(sandbox, disable_userns=False), view))
            for view in (evaluator, candidate)
        ]
        sizes = sb.memory_sizes(candidate)
        # No other path: what is forked has these in its memory, where a candidate could read them.
        below = tuple(f"{path}/" for path in sizes)
        kept, others = (
            tuple(path for path in sb.shown_by(view) if path.startswith(below)) for view in (evaluator, candidate)
        )
        calls = makers[1] if job.guarded else ()
        warm = WarmPlan(makers[0], calls, (kept, others), not job.guarded, tuple(sizes.items()), file)
    return Plan(
        sb.build_command(around_evaluator, evaluator, "evaluator"),
        sb.build_command(sandbox, candidate, "candidate"),
        sb.plan_landlock(around_evaluator, evaluator),
        sb.plan_landlock(sandbox, candidate),
        warm,
    )


_FOLDER = "\0"
"""Placeholder for the evaluation's folder at the start of a word of the command line."""
_built: dict[Any, Plan] = {}


def _scratch_mb(limits: Limits) -> int:
    """Return the MiB that a scratch folder may hold: one file may reach `file_mb`, and a program may need a few."""
    return int(max(4 * limits.file_mb, 64))


def _address_space(job: Job) -> int:
    """Return the bytes that a process may map if no cgroup counts its memory; 0: no bound.

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


def _keeps_scratch_in_memory(job: Job, sandbox: sb.Sandbox) -> bool:
    return bool(sb.in_memory(sandbox)) and not job.trusted


def _hashed(seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"sandbox {seed}".encode()).digest()[:4], "big") >> 1


def job_spec(job: Job, sandbox: sb.Sandbox, plan: Plan, supervisor: int) -> dict[str, Any]:
    """Encode the job for the supervisor, whose process id is given."""
    inside = sb.INSIDE if sandbox.path else str(job.folder)
    cores = sorted(os.sched_getaffinity(0))[-job.cores :] if job.cores else []
    shared = {"sandbox": sandbox.name, "mark": mark_of(job.folder), "address_space": _address_space(job)}
    # Elsewhere a namespace, or Landlock, keeps signals in.
    exposed = not sandbox.path and sandbox.landlock < GUARDS_FROM
    protected = [os.getpid(), os.getpgrp(), supervisor] if exposed else []

    network = job.errand is not None and job.errand.network
    # Drivers of GPUs need them. Elsewhere they are refused if only a look at open files could count them.
    memfds = job.gpu or configured_cgroups().bounds_memory

    def confinement(rules: dict[str, Any] | None, pinned: bool = False) -> dict[str, Any]:
        return encode_confinement(
            sandbox.name, sandbox.seccomp, sandbox.landlock, rules, protected, memfds, pinned, network
        )

    own = inside
    of_evaluator: dict[str, Any] = {**shared, "confinement": confinement(plan.evaluator_rules)}
    if job.trusted:
        own = str(job.folder)
        of_evaluator |= {
            "sandbox": _BARE.name,
            "confinement": encode_confinement(_BARE.name, False, 0, None, [], True),
            "environment": sb.environment(_BARE, f"{own}/scratch", job.threads, job.gpu, job.device),
            "home": str(Path.home()),
            "privileges": job.containers,
        }
        if job.containers:
            # Where the person's docker or podman is, and its settings.
            of_evaluator["environment"] |= {name: os.environ[name] for name in _CONTAINERS if name in os.environ}

    return {
        "limits": msgspec.to_builtins(job.limits),
        "sandbox": sandbox.name,
        "program": f"program{job.suffix}",
        "is_build": job.is_build,
        "guarantee": guarantee_of(job, sandbox),
        "scratch": f"{job.folder}/scratch",
        "scratch_mb": _scratch_mb(job.limits),
        "scratch_in_memory": _keeps_scratch_in_memory(job, sandbox),
        "trusted": job.trusted,
        "cgroup": configured_cgroups().parents,
        "evaluator": {
            **of_evaluator,
            "metric": job.metric,
            "guarded": job.guarded,
            "stage": job.stage,
            "repeat": job.repeat,
            "seed": job.seed,
            "data_seed": job.seed if job.data_seed is None else job.data_seed,
            "sandbox_seed": _hashed(job.seed) if job.sandbox_seed is None else job.sandbox_seed,
            "settings": job.settings,
            "given": job.given,
            "device": job.device,
            "cores": cores,
            "task_folder": str(job.task_folder),
            "scratch": f"{own}/scratch",
            "program_path": _NO_FILE if job.guarded else f"{own}/{_name_of(job)}",
            "built": "" if job.guarded or job.built is None else f"{own}/build",
            **_told_of_build(job),
            **_told_of_errand(job),
        },
        "candidate": {
            "command": plan.candidate,
            "job": {
                **shared,
                "confinement": confinement(plan.candidate_rules, bool(job.cores)),
                "pinned": cores,
                "program_path": f"{inside}/{_name_of(job)}",
                "built": "" if job.built is None else f"{inside}/build",
            },
        },
    }


def _told_of_build(job: Job) -> dict[str, Any]:
    if not job.is_build or job.build is None:
        return {}
    files = {name: base64.b64encode(content).decode() for name, content in job.build.files.items()}
    program = "" if job.tree is not None else f"program{job.suffix}"
    for path, content in (job.tree or {}).items():
        files[path] = base64.b64encode(content).decode()
    return {"build": {"command": job.build.command, "files": files, "program": program}}


def _told_of_errand(job: Job) -> dict[str, Any]:
    if job.errand is None:
        return {}
    told = {name: getattr(job.errand, name) for name in ("command", "stdin", "seconds", "tokens", "most_bytes")}
    files = {path: base64.b64encode(content).decode() for path, content in job.errand.files.items()}
    source = _ERRAND.read_text("utf-8")
    return {"errand": {**told, "files": files, "environment": job.errand.environment, "source": source}}


def _name_of(job: Job) -> str:
    """Return the name of the candidate's file or folder in the evaluation's."""
    return f"program{job.suffix}" if job.tree is None else "program"
