"""The Python interpreter of a task: which may be started, and what it must read to run."""

# Paths here are words of a command line.
# ruff: noqa: PTH110, PTH112, PTH114, PTH115, PTH118, PTH120

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EvolveError
from engine.settings.named_paths import named_interpreters
from engine.workspace import workspace

__all__ = ["HARNESS", "Interpreter", "find_interpreter", "is_below", "locate_interpreter", "own_file"]
__all__ += ["passed_variables"]

HARNESS = Path(__file__).with_name("evolve_task.py")

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

    Args:
        python: as for `locate_interpreter`; None means the engine's own.

    Raises:
        EvolveError: it may not be started, does not run, or is older than Python 3.9.
    """
    return _find_interpreter(locate_interpreter(python, task_folder) if python else sys.executable)


def locate_interpreter(python: str, task_folder: Path) -> str:
    """Return the path of the interpreter that a task names, if it may be started.

    It runs unconfined when it is asked for its paths, so it must belong to this machine: a file in the task folder, or
    reached by a link in it, came with the task and is not started.

    Args:
        python: a program name, looked up on PATH only; or a path, absolute or relative to the task folder
            (`../venv/bin/python`), that is the engine's own or that config.toml names.
        task_folder: the folder that the task was read from.

    Raises:
        EvolveError: it lies in the task folder, no person named it, or it is not on PATH.
    """
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
    return path


def _leads_through(path: str, folder: str) -> bool:
    """Tell whether a path, or a link that it goes through, lies in a folder (whose own path has no links)."""
    for _ in range(41):  # the kernel follows at most 40 links
        above, name = os.path.split(path)
        path = os.path.join(os.path.realpath(above), name)
        if is_below(path, folder):
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
def is_current(compiled, source):
    try:
        with open(compiled, "rb") as file:
            head = file.read(16)[4:]
    except OSError:
        return False
    numbers = 0, int(source.st_mtime), source.st_size
    return head == b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
try:
    from importlib.machinery import SourceFileLoader
    from importlib.util import cache_from_source
    # Reads what an earlier engine compiled: to compile it takes longer than all the rest.
    SourceFileLoader("evolve_task", sys.argv[1]).get_code("evolve_task")
    harness = cache_from_source(sys.argv[1])
    if not is_current(harness, os.stat(sys.argv[1])):
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
        done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=passed_variables(), cwd="/")
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
        if entry and not any(is_below(entry, prefix) for prefix in prefixes):
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


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def passed_variables() -> dict[str, str]:
    """Return the engine's own variables that processes of an evaluation get."""
    return {key: os.environ[key] for key in _PASSED if key in os.environ}


def own_file(interpreter: Interpreter) -> str:
    """Return the file that an interpreter's path leads to; empty if it is not the engine's own."""
    return str(Path(sys.executable).resolve()) if interpreter.path == sys.executable else ""
