"""The sandbox of an evaluation: build the bubblewrap command line that limits what it can see of this machine.

An evaluation sees only the system's folders, the task's interpreter, the task folder and its `mounts`, all read-only,
and one writable scratch folder. If bubblewrap does not work, Landlock confines it to the same files; if the kernel has
no Landlock either, there are limits only. `sandbox_name` and every outcome name the level.
"""

# Paths here are words of a command line.
# ruff: noqa: PTH119, PTH100, PTH110, PTH112, PTH114, PTH115, PTH207

from __future__ import annotations

import functools
import glob
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

from engine.evaluation.bubblewrap import Program, find_programs, namespace_advice, wanted_bubblewrap, wants_landlock
from engine.evaluation.cgroups import configured_cgroups
from engine.evaluation.interpreter import HARNESS, Interpreter, is_below, passed_variables
from engine.evaluation.kernel import probe_kernel
from engine.evaluation.landlock import GUARDS_FROM, plan_rules
from engine.evaluation.system_paths import ETC, ETC_OF_ERRAND, ETC_OF_GPU, GPU_DEVICES, SYSTEM, USR_MERGED
from engine.evaluation.tied import end_tied, start_tied

__all__ = ["INSIDE", "Level", "Sandbox", "View", "build_command", "environment", "find_sandbox", "in_memory"]
__all__ += ["memory_sizes", "plan_landlock", "sandbox_name", "show", "shown_by"]

INSIDE = "/evaluation"
"""The folder of the evaluation's own files inside the sandbox."""

_TRIAL_SECONDS = 20
"""How long a bubblewrap may take to start a shell."""
_NAMESPACES = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
_CONFINED = ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "evolve"]
_THREADS = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"]
_CACHES = {"XDG_CACHE_HOME": "cache", "TRITON_CACHE_DIR": "triton", "MPLCONFIGDIR": "matplotlib"}
_CACHES |= {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "NUMBA_CACHE_DIR": "numba",
}


@dataclass(frozen=True)
class Sandbox:
    """The confinement available on this machine."""

    path: str
    """The bubblewrap program; empty if there is none that works."""
    reason: str
    """Why there is no bubblewrap, or why another one was skipped; empty if neither is so."""
    disable_userns: bool = False
    """Whether it can forbid further user namespaces inside (from 0.8)."""
    size: bool = False
    """Whether it can limit the size of in-memory folders (from 0.7)."""
    label: str = ""
    """The bubblewrap's version, origin and path."""
    advice: str = ""
    """What to do about the reason, one sentence; empty if nothing needs to be done."""

    seccomp: bool = False
    """Whether the kernel filters system calls."""
    landlock: int = 0
    """The version of Landlock that takes bubblewrap's place; 0 if it does not."""
    lacks: tuple[str, ...] = ()
    """What does not hold here at this level, or why the level is no better, a sentence each without its full stop."""

    @property
    def name(self) -> Level:
        """Return the level of confinement."""
        return "bubblewrap" if self.path else "landlock" if self.landlock else "limits"

    @property
    def guards(self) -> bool:
        """Tell whether a candidate can neither read nor change, stop or replace its evaluator and its data.

        Landlock alone keeps files and memory apart. Signals need its sixth version, and limits, priorities and services
        of the user's session need the filter.
        """
        return bool(self.path) or (self.landlock >= GUARDS_FROM and self.seccomp)

    @property
    def shortfall(self) -> str:
        """Return why the level is no better and what does not hold at it, one line; empty if nothing needs saying."""
        said = [] if self.path else [self.reason, self.advice]
        return " ".join(f"{sentence.rstrip('.')}." for sentence in [*said, *self.lacks] if sentence)


Level = Literal["bubblewrap", "landlock", "limits"]
"""From the best to the least."""


def sandbox_name() -> Level:
    """Return the level of confinement of evaluations here."""
    return find_sandbox().name


def find_sandbox(wanted: str = "") -> Sandbox:
    """Find the confinement of evaluations here by running bubblewrap once.

    Args:
        wanted: which bubblewrap; by default the configured one (`wanted_bubblewrap`).

    Raises:
        UsageError: config.toml or the environment holds an invalid choice.
    """
    on_path = shutil.which("bwrap")
    sandbox = _find_bubblewrap(wanted or wanted_bubblewrap(), os.path.abspath(on_path) if on_path else "")
    kernel = probe_kernel()
    lacks = [f"no seccomp filter: {kernel.no_seccomp}"] if kernel.no_seccomp else []
    groups = configured_cgroups()
    if not groups.bounds_memory:
        lacks.append(
            f"no cgroup bounds what an evaluation uses: {groups.reason or 'memory is not among what they bound'}"
        )
    if sandbox.path and not sandbox.size:
        lacks.append("before version 0.7 bubblewrap bounds no folder: only looks at the disk do")
    version = kernel.landlock
    if sandbox.path:
        version = 0
    elif not wants_landlock():
        version = 0
        lacks.append("Landlock is switched off")
    elif not version:
        lacks.append(f"no Landlock: {kernel.no_landlock}")
    elif version < GUARDS_FROM:
        lacks.append(
            f"Landlock {version} does not keep candidates from signalling their evaluator, as version {GUARDS_FROM} "
            "(Linux 6.12) does"
        )
    return replace(sandbox, seccomp=kernel.seccomp, landlock=version, lacks=tuple(lacks))


@functools.cache
def _find_bubblewrap(wanted: str, on_path: str) -> Sandbox:
    found = find_programs(wanted, on_path)
    reason, advice = found.lack, found.advice
    for program in found.programs:
        sandbox = _try_out(program)
        if sandbox.path:
            return replace(sandbox, reason=reason, advice=found.advice)
        if not reason:
            reason, advice = sandbox.reason, sandbox.advice
    return Sandbox("", reason, advice=advice)


def _try_out(program: Program) -> Sandbox:
    """Return the sandbox that a program can make and its features, or the reason why it cannot."""
    reason = ""
    for disable_userns, size in ((True, True), (False, True), (False, False)):
        sandbox = Sandbox(program.path, "", disable_userns, size, str(program))
        command = [*_start(sandbox, memory_mb=16), *_finish(), "--", "/bin/sh", "-c", "exit 0"]
        # Not a pipe: a failing setuid bubblewrap may leave a process that keeps it open.
        with tempfile.TemporaryFile() as words:
            try:
                code = _exit_code(command, words)
            except OSError as exc:
                return Sandbox("", f"{program} does not run: {exc}", advice=f"See that {program.path} can be executed")
            words.seek(0)
            lines = words.read().decode("utf-8", "replace").strip().splitlines()
        if code == 0:
            return sandbox
        reason = reason or f"{program} does not work here: {lines[-1] if lines else f'exit code {code}'}"
    return Sandbox("", reason, advice=namespace_advice(program.path))


def _exit_code(command: list[str], words: IO[bytes]) -> int:
    """Run a command that ends with the engine; return its exit code, and what it says in a file.

    Raises:
        OSError: it cannot be started, or does not end.
    """
    trial = start_tied('{ "$@" >&2 3<&-; echo $?; }', command, words)
    try:
        assert trial.stdout is not None
        if not select.select([trial.stdout], [], [], _TRIAL_SECONDS)[0]:
            raise TimeoutError(f"it does not end within {_TRIAL_SECONDS} s")
        return int(trial.stdout.readline() or 128 + signal.SIGKILL)
    finally:
        end_tied(trial)


@dataclass(frozen=True)
class View:
    """The files that one process of an evaluation can see, as paths on this machine."""

    interpreter: Interpreter
    scratch: str
    """The writable folder."""
    program: str = ""
    """The candidate's file, if the process may see it."""
    built: str = ""
    """The folder of what was built from it; empty if there is none, or if it is not to be seen."""
    readable: tuple[str, ...] = ()
    """Read-only folders, mounted at their own paths."""
    hidden: tuple[str, ...] = ()
    """Folders that stay invisible even inside a readable one."""
    gpu: bool = False
    memory_mb: int = 4096
    scratch_mb: int = 4096
    """How much its scratch folder holds if it is in memory."""
    network: bool = False
    """Whether it shares the machine's network."""
    errand: bool = False
    """Whether it sees the settings of the system that a command of a person may need: names, certificates, users."""


def in_memory(sandbox: Sandbox) -> list[str]:
    """Return the writable folders, as the evaluation sees them, that lie in memory and have a size of their own."""
    return [f"{INSIDE}/scratch", "/dev/shm", "/tmp"] if sandbox.path and sandbox.size else []


def memory_sizes(view: View) -> dict[str, int]:
    """Return the bytes that each folder of `in_memory` may hold."""
    # The content of in-memory folders counts towards no process, so it gets a limit of its own. The scratch folder's is
    # just above the limit, so that a candidate that fills it gets the message about the limit.
    other = view.memory_mb * 2**19
    return {f"{INSIDE}/scratch": (view.scratch_mb + 1) * 2**20, "/dev/shm": other, "/tmp": other}


def build_command(sandbox: Sandbox, view: View, role: str) -> list[str]:
    """Return the command line that runs the harness as `evaluator` or `candidate`."""
    harness = str(HARNESS.parent) if not sandbox.path else f"{INSIDE}/lib"
    # Without a sandbox other files lie beside the harness: they must not become importable.
    keep = "" if sandbox.path else " del sys.path[0];"
    call = f"evolve_task._main({role!r}, {in_memory(sandbox)!r})"
    run = f"import sys; sys.path[0] = {harness!r}; import evolve_task;{keep} {call}"
    inner = [view.interpreter.path, "-s", "-c", run]
    if not sandbox.path:
        # The folder in its command line identifies the process even after its supervisor was killed.
        return [*inner, view.scratch]
    return [*show(sandbox, view), "--", *inner]


def shown_by(view: View) -> list[str]:
    """Return the folders and files that a view shows apart from the system's, none below another one."""
    return _outermost(set(view.interpreter.prefixes) - set(view.hidden) | set(view.readable))


def show(sandbox: Sandbox, view: View) -> list[str]:
    """Return the command line of bubblewrap that makes a view, without the program that runs in it."""
    shown = shown_by(view)
    command = _start(sandbox, view.memory_mb, view.gpu, view.network, view.errand)
    for path in shown:
        if not is_below(path, "/usr"):
            command += ["--ro-bind-try", path, path]
    for path in view.hidden:
        if any(is_below(path, other) for other in [*shown, "/usr"]) and path not in view.readable:
            command += ["--tmpfs", path]
            for other in view.readable:
                command += ["--ro-bind", other, other] if is_below(other, path) else []
            command += ["--remount-ro", path]
    command += ["--ro-bind", str(HARNESS), f"{INSIDE}/lib/{HARNESS.name}"]
    if view.interpreter.harness:
        compiled = os.path.relpath(view.interpreter.harness, HARNESS.parent)
        command += ["--ro-bind", view.interpreter.harness, f"{INSIDE}/lib/{compiled}"]
    if view.program:
        command += ["--ro-bind", view.program, f"{INSIDE}/{os.path.basename(view.program)}"]
    if view.built:
        command += ["--ro-bind", view.built, f"{INSIDE}/build"]
    if sandbox.size:
        command += ["--size", str(memory_sizes(view)[f"{INSIDE}/scratch"]), "--tmpfs", f"{INSIDE}/scratch"]
    else:
        command += ["--bind", view.scratch, f"{INSIDE}/scratch"]
    command += ["--chdir", f"{INSIDE}/scratch"]
    return [*command, *_finish()]


def plan_landlock(sandbox: Sandbox, view: View) -> dict[str, Any] | None:
    """Return the rules of Landlock that show the same files as `build_command`; None if it does not confine."""
    if not sandbox.landlock:
        return None
    shown = set(view.interpreter.prefixes) - set(view.hidden) | set(view.readable)
    if view.errand:
        shown |= set(ETC_OF_ERRAND)
    return plan_rules(sandbox.landlock, shown, view.hidden, view.gpu, view.network)


def _start(
    sandbox: Sandbox, memory_mb: int, gpu: bool = False, network: bool = False, errand: bool = False
) -> list[str]:
    """Return the options for namespaces and the read-only system."""
    namespaces = [name for name in _NAMESPACES if name != "--unshare-net" or not network]
    command = [sandbox.path, *namespaces, *_CONFINED]
    if sandbox.disable_userns:
        command.append("--disable-userns")
    size = ["--size", str(memory_mb * 2**19)] if sandbox.size else []
    command += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
    for path in [*SYSTEM, *ETC, *(ETC_OF_GPU if gpu else []), *(ETC_OF_ERRAND if errand else [])]:
        if os.path.exists(path):
            command += ["--ro-bind", path, path]
    for path in USR_MERGED:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    if gpu:
        for pattern in GPU_DEVICES:
            for path in sorted(glob.glob(pattern)):
                command += ["--dev-bind", path, path]
        command += ["--ro-bind", "/sys", "/sys"]
    return command


def _finish() -> list[str]:
    """Return the options that make everything read-only except the writable folders.

    /proc becomes read-only too: if the engine runs as root, candidates own its switches (sysrq-trigger, core_pattern).
    """
    return ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]


def _outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths without those that lie below another one."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(is_below(path, other) for other in kept):
            kept.append(path)
    return kept


def environment(sandbox: Sandbox, scratch: str, threads: int, gpu: bool, device: str) -> dict[str, str]:
    """Return an evaluation's environment variables: an allow-list of the engine's own, and those set for it.

    Args:
        scratch: the scratch folder on this machine; inside bubblewrap it has another path.
        threads: how many threads numerical libraries may use.
        gpu: whether the task needs a GPU.
        device: the leased GPU; if empty, the engine's own CUDA_VISIBLE_DEVICES applies.
    """
    home = f"{INSIDE}/scratch" if sandbox.path else scratch
    variables = passed_variables()
    variables |= {"HOME": home, "TMPDIR": home, "USER": "evolve", "LOGNAME": "evolve"}
    variables |= {name: f"{home}/.cache/{folder}" for name, folder in _CACHES.items()}
    variables |= {name: str(threads) for name in _THREADS}
    variables |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    visible = device if device or not gpu else os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        variables["CUDA_VISIBLE_DEVICES"] = visible
    return variables
