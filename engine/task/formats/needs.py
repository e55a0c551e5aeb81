"""Tell what a foreign task needs that is missing here: modules that it imports, programs that it starts."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.errors import TaskError
from engine.task.formats.foreign import Foreign, parse_python

__all__ = ["missing_needs"]

_SHIMS = {"openevolve", "skydiscover", "shinka", "evolve_task"}
_SECONDS = 30.0
_FIND = "import importlib.util, sys; print('\\n'.join(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"


def missing_needs(foreign: Foreign, python: str) -> list[str]:
    """Return what is missing, a line each; the seed and the evaluator's file alone are looked at.

    Args:
        foreign: the task.
        python: the interpreter that will run it; empty for the engine's own.

    Raises:
        TaskError: a file is not valid Python.
    """
    if foreign.wrapper == "container_evaluate.py":
        return []  # the image has it
    lines = []
    names: dict[str, str] = {}
    files = [path for path in (foreign.seed, foreign.folder / foreign.entry) if _is_python(path)]
    # The evaluator's folder is on the path of the program that it loads, too.
    places = {foreign.folder, *(path.parent for path in files)}
    here = {item.stem for place in places for item in place.iterdir()}
    for path in files:
        for name in _imports(parse_python(path).body):
            if name not in here and name not in _SHIMS:
                names.setdefault(name, path.name)
    absent = _absent(sorted(names), python)
    lines += [f"{name}, which {names[name]} imports, is not installed in {python or sys.executable}" for name in absent]
    started: dict[str, str] = {}
    for path in files:
        for name in _programs(parse_python(path)):
            started.setdefault(name, path.name)
    if foreign.entry.suffix == ".sh":
        started.setdefault("bash", foreign.entry.name)
    lines += [
        f"{name}, which {place} starts, is not on PATH" for name, place in started.items() if shutil.which(name) is None
    ]
    return lines


def _is_python(path: Path) -> bool:
    return path.suffix == ".py" or path.name == "initial_program"


def _imports(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the top-level modules that are imported as a file is loaded, unless it is ready for their absence."""
    for item in body:
        if isinstance(item, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and not item.level and item.module:
            yield item.module.partition(".")[0]
        elif isinstance(item, ast.If | ast.With):
            test = getattr(item, "test", None)
            if not (isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"):
                yield from _imports(item.body)


def _programs(tree: ast.Module) -> Iterator[str]:
    """Yield the names of programs that a file starts by a constant name."""
    for item in ast.walk(tree):
        if not isinstance(item, ast.Call) or not item.args or not isinstance(item.func, ast.Attribute):
            continue
        owner = item.func.value
        if item.func.attr not in ("run", "Popen", "check_output", "check_call", "call"):
            continue
        if not isinstance(owner, ast.Name) or owner.id != "subprocess":
            continue
        first = item.args[0]
        if isinstance(first, ast.List) and first.elts:
            first = first.elts[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and " " not in first.value:
            yield first.value


def _absent(names: list[str], python: str) -> list[str]:
    names = [name for name in names if name not in sys.stdlib_module_names]
    if not names:
        return []
    try:
        done = subprocess.run(
            [python or sys.executable, "-I", "-c", _FIND, *names],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise TaskError(f"the interpreter {python or sys.executable} cannot be asked what it has: {exc}") from None
    return done.stdout.split()
