"""The sandbox of an evaluation: build the bubblewrap command line that limits what it can see of this machine.

An evaluation sees only the system's folders, the task's interpreter, the task folder and its `mounts`, all read-only,
and one writable scratch folder. If bubblewrap does not work, Landlock confines it to the same files; if the kernel has
no Landlock either, there are limits only. `sandbox_name` and every outcome name the level.
"""

# Paths here are words of a command line.
# ruff: noqa: PTH100, PTH110, PTH112, PTH114, PTH115, PTH118, PTH120, PTH207

from __future__ import annotations

import functools
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.errors import EvolveError
from engine.evaluation.bubblewrap import Program, find_programs, namespace_advice, wanted_bubblewrap, wants_landlock
from engine.evaluation.cgroups import configured_cgroups
from engine.evaluation.kernel import probe_kernel
from engine.evaluation.landlock import GUARDS_FROM, plan_rules
from engine.settings.named_paths import named_interpreters
from engine.workspace import workspace

__all__ = ["HARNESS", "Interpreter", "Level", "Sandbox", "View", "build_command", "environment", "find_interpreter"]
__all__ += ["find_sandbox", "in_memory", "plan_landlock", "sandbox_name"]

HARNESS = Path(__file__).with_name("evolve_task.py")

INSIDE = "/evaluation"
"""The folder of the evaluation's own files inside the sandbox."""

_NAMESPACES = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
_CONFINED = ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "evolve"]
_SYSTEM = ["/usr", "/nix/store", "/gnu/store", "/run/current-system", "/run/opengl-driver"]
_USR_MERGED = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
_ETC = ["/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"]
"""Few, since each mount takes 0.2 ms: the linker's cache, the time zone, and the target of links such as
/usr/bin/cc."""
_ETC_OF_GPU = ["/etc/OpenCL", "/etc/vulkan"]
_DEVICES = ["/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/dxg"]
_LOCALE = [
    "ALL",
    "COLLATE",
    "CTYPE",
    "IDENTIFICATION",
    "MEASUREMENT",
    "MESSAGES",
    "MONETARY",
    "NAME",
    "NUMERIC",
    "PAPER",
    "TELEPHONE",
    "TIME",
]
_PASSED = ["PATH", "LANG", "TZ", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", *(f"LC_{name}" for name in _LOCALE)]
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
                done = subprocess.run(command, stdout=words, stderr=words, timeout=20, check=False, env={})
            except (OSError, subprocess.SubprocessError) as exc:
                return Sandbox("", f"{program} does not run: {exc}", advice=f"See that {program.path} can be executed")
            words.seek(0)
            lines = words.read().decode("utf-8", "replace").strip().splitlines()
        if done.returncode == 0:
            return sandbox
        reason = reason or f"{program} does not work here: {lines[-1] if lines else f'exit code {done.returncode}'}"
    return Sandbox("", reason, advice=namespace_advice(program.path))


@dataclass(frozen=True)
class Interpreter:
    """The Python interpreter for evaluators and candidates of a task."""

    path: str
    prefixes: tuple[str, ...]
    """Everything that it must read to run: its prefixes, and the folders and files of its path."""
    harness: str
    """The harness, compiled by it; empty if the file cannot be written."""


def find_interpreter(python: str | None, task_folder: Path) -> Interpreter:
    """Ask an interpreter once for the paths that it needs.

    The interpreter runs unconfined for this, so it must belong to this machine: a file in the task folder, or reached
    by a link in it, came with the task and is not started.

    Args:
        python: a program name, looked up on PATH only; or a path, absolute or relative to the task folder
            (`../venv/bin/python`), that is the engine's own or that config.toml names. None means the engine's own.

    Raises:
        EvolveError: it lies in the task folder, no person named it, it is missing, does not run, or is older than
            Python 3.9.
    """
    if not python:
        return _find_interpreter(sys.executable)
    path = python if "/" in python else shutil.which(python)
    if not path:
        problem = f"the task's interpreter '{python}' is not on PATH, so it does not run"
        raise EvolveError(problem, "Name another one as `python` in task.toml")
    # A relative entry of PATH yields a path relative to the engine's working directory.
    path = os.path.normpath((task_folder if "/" in python else Path.cwd()) / path)
    if _leads_through(path, os.path.realpath(task_folder)):
        hint = "`python` in task.toml may name a program on PATH or an interpreter outside the task folder"
        raise EvolveError(f"the task's interpreter {path} lies in the task folder, so it is not started", hint)
    # A folder from elsewhere may bring an interpreter along, beside the task.
    if "/" in python and path not in (sys.executable, *named_interpreters()):
        hint = f'If you trust it, write into {workspace() / "config.toml"}:  [interpreters]  paths = ["{path}"]'
        raise EvolveError(f"the task's interpreter {path} is not named in config.toml, so it is not started", hint)
    return _find_interpreter(path)


def _leads_through(path: str, folder: str) -> bool:
    """Tell whether a path, or a link that it goes through, lies in a folder (whose own path has no links)."""
    for _ in range(41):  # the kernel follows at most 40 links
        above, name = os.path.split(path)
        path = os.path.join(os.path.realpath(above), name)
        if _is_below(path, folder):
            return True
        if not os.path.islink(path):
            return False
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return True


_ASK = """
import json, os, sys
hops, path = [], sys.executable
while os.path.islink(path) and len(hops) < 20:
    hops.append(path)
    path = os.path.join(os.path.dirname(path), os.readlink(path))
try:
    import py_compile
    harness = py_compile.compile(sys.argv[1])
except Exception:
    harness = None  # then every evaluation compiles it anew
prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix]
print(json.dumps([sys.version_info[:2], prefixes, sys.path, hops + [path], harness]))
"""


@functools.cache
def _find_interpreter(path: str) -> Interpreter:
    hint = "Name another one as `python` in task.toml"
    command = [path, "-s", "-c", _ASK, str(HARNESS)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=_passed(), cwd="/")
        version, prefixes, found, hops, harness = json.loads(done.stdout)
    except subprocess.CalledProcessError as exc:
        lines = exc.stderr.decode("utf-8", "replace").strip().splitlines() or [str(exc)]
        raise EvolveError(f"the task's interpreter {path} does not run: {lines[-1]}", hint) from None
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        raise EvolveError(f"the task's interpreter {path} does not run: {exc}", hint) from None
    if version < [3, 9]:
        raise EvolveError(f"the task's interpreter {path} is Python {version[0]}.{version[1]}, below 3.9", hint)
    prefixes = [os.path.normpath(prefix) for prefix in prefixes]
    prefixes += [os.path.realpath(prefix) for prefix in prefixes]
    wanted = set(prefixes)
    for entry in [*found, *hops]:
        if entry and not any(_is_below(entry, prefix) for prefix in prefixes):
            wanted.update(_importable(os.path.normpath(entry)))
    return Interpreter(path, tuple(sorted(wanted)), harness or "")


def _importable(entry: str) -> list[str]:
    """List importable files of a path entry outside the prefixes, such as a checkout, without its other files."""
    if not os.path.isdir(entry):
        return [entry]
    names = []
    with os.scandir(entry) as items:
        for item in items:
            is_package = item.is_dir() and os.path.exists(item.path + "/__init__.py")
            if is_package or item.name.endswith((".py", ".so", ".dist-info", ".egg-info", ".pth")):
                names.append(item.path)
    return names


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _passed() -> dict[str, str]:
    return {key: os.environ[key] for key in _PASSED if key in os.environ}


@dataclass(frozen=True)
class View:
    """The files that one process of an evaluation can see, as paths on this machine."""

    interpreter: Interpreter
    scratch: str
    """The writable folder."""
    program: str = ""
    """The candidate's file, if the process may see it."""
    readable: tuple[str, ...] = ()
    """Read-only folders, mounted at their own paths."""
    hidden: tuple[str, ...] = ()
    """Folders that stay invisible even inside a readable one."""
    gpu: bool = False
    memory_mb: int = 4096
    scratch_mb: int = 4096
    """How much its scratch folder holds if it is in memory."""


def in_memory(sandbox: Sandbox) -> list[str]:
    """Return the writable folders, as the evaluation sees them, that lie in memory and have a size of their own."""
    return [f"{INSIDE}/scratch", "/dev/shm", "/tmp"] if sandbox.path and sandbox.size else []


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
    shown = _outermost(set(view.interpreter.prefixes) - set(view.hidden) | set(view.readable))
    command = _start(sandbox, view.memory_mb, view.gpu)
    for path in shown:
        if not _is_below(path, "/usr"):
            command += ["--ro-bind-try", path, path]
    for path in view.hidden:
        if any(_is_below(path, other) for other in [*shown, "/usr"]) and path not in view.readable:
            command += ["--tmpfs", path]
            for other in view.readable:
                command += ["--ro-bind", other, other] if _is_below(other, path) else []
            command += ["--remount-ro", path]
    command += ["--ro-bind", str(HARNESS), f"{INSIDE}/lib/{HARNESS.name}"]
    if view.interpreter.harness:
        compiled = os.path.relpath(view.interpreter.harness, HARNESS.parent)
        command += ["--ro-bind", view.interpreter.harness, f"{INSIDE}/lib/{compiled}"]
    if view.program:
        command += ["--ro-bind", view.program, f"{INSIDE}/program.py"]
    if sandbox.size:
        # Filled up it is just above the limit, so that who fills it is told of the limit.
        command += ["--size", str((view.scratch_mb + 1) * 2**20), "--tmpfs", f"{INSIDE}/scratch"]
    else:
        command += ["--bind", view.scratch, f"{INSIDE}/scratch"]
    command += ["--chdir", f"{INSIDE}/scratch"]
    return [*command, *_finish(), "--", *inner]


def plan_landlock(sandbox: Sandbox, view: View) -> dict[str, Any] | None:
    """Return the rules of Landlock that show the same files as `build_command`; None if it does not confine."""
    if not sandbox.landlock:
        return None
    shown = set(view.interpreter.prefixes) - set(view.hidden) | set(view.readable)
    return plan_rules(sandbox.landlock, shown, view.hidden, view.gpu)


def _start(sandbox: Sandbox, memory_mb: int, gpu: bool = False) -> list[str]:
    """Return the options for namespaces and the read-only system."""
    command = [sandbox.path, *_NAMESPACES, *_CONFINED]
    if sandbox.disable_userns:
        command.append("--disable-userns")
    # The content of in-memory folders counts towards no process, so it gets a limit of its own.
    size = ["--size", str(memory_mb * 2**19)] if sandbox.size else []
    command += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp"]
    for path in [*_SYSTEM, *_ETC, *(_ETC_OF_GPU if gpu else [])]:
        if os.path.exists(path):
            command += ["--ro-bind", path, path]
    for path in _USR_MERGED:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    if gpu:
        for pattern in _DEVICES:
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
        if not any(_is_below(path, other) for other in kept):
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
    variables = _passed()
    variables |= {"HOME": home, "TMPDIR": home, "USER": "evolve", "LOGNAME": "evolve"}
    variables |= {name: f"{home}/.cache/{folder}" for name, folder in _CACHES.items()}
    variables |= {name: str(threads) for name in _THREADS}
    variables |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    visible = device if device or not gpu else os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        variables["CUDA_VISIBLE_DEVICES"] = visible
    return variables
