"""A task folder of another system, as it is read: nothing of it is run or imported to read it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.programs.blocks import read_blocks

__all__ = [
    "DIFF_ONLY",
    "FULL_ONLY",
    "Foreign",
    "number",
    "outside_functions",
    "parse_python",
    "program_in",
    "read_text",
    "read_yaml",
    "readme_of",
    "table",
    "task_name",
]

_LARGEST = 5_000_000
"""Most bytes of a file of settings or text that is read."""
DIFF_ONLY = {"diff": 1.0, "full": 0.0}
FULL_ONLY = {"diff": 0.0, "full": 1.0}


@dataclass
class Foreign:
    """What a folder of another system says of its task.

    Attributes:
        format: the system, as people name it.
        why: by what the format is known.
        folder: the folder.
        seed: the program to start from.
        brief: the problem statement.
        entry: the evaluator's file, relative to the folder.
        wrapper: the file of `formats/runtime` that becomes `evaluate.py`.
        seconds: wall-clock limit of an evaluation; None for the default.
        keep_blocks: whether text outside the EVOLVE-BLOCK marks must stay as it is.
        settings: handed to the wrapper as `report.settings`.
        run: defaults of a run, as in task.toml's `[run]`.
        max_program_bytes: most bytes of a program; None for the default.
        python: the interpreter that the folder names; it is told, never taken.
        taken: lines for people: what was taken from where.
        ignored: keys that have no meaning here.
        stub: the program to start from if there is no file of it; then `seed` is of no matter.
        hidden: folders that are not taken along.
    """

    format: str
    why: str
    folder: Path
    seed: Path
    brief: str
    entry: Path
    wrapper: str
    seconds: float | None = None
    keep_blocks: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    max_program_bytes: int | None = None
    python: str = ""
    taken: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    stub: str = ""
    hidden: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what was taken and what was left, a line each."""
        lines = [f"a task of {self.format}: {self.why}", *self.taken]
        if self.python:
            lines.append(f"its interpreter {self.python} is not taken: --python names one")
        if self.ignored:
            lines.append(f"not taken: {'; '.join(self.ignored)}")
        return tuple(lines)


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        TaskError: it is missing, too large or not UTF-8.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise TaskError(f"{path} has {path.stat().st_size:,} bytes, more than a text of a task may have")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise TaskError(f"{path} cannot be read: {exc}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the table in a YAML file; an empty file is an empty table.

    Raises:
        TaskError: it is not YAML, or no table.
    """
    import yaml

    text = read_text(path)
    try:
        # Aliases of aliases make few bytes unfold into gigabytes.
        if len(re.findall(r"(?m)(?:^|[\s\[{,:-])\*[A-Za-z0-9_]+", text)) > 100:
            raise TaskError(f"{path} holds more than 100 aliases, which is no file of settings")
        if _flow_depth(text) > 100:
            raise TaskError(f"{path} is nested too deeply to be read as YAML")
        found = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise TaskError(f"{path} is not valid YAML: {' '.join(str(exc).split())}") from None
    except (RecursionError, ValueError) as exc:
        raise TaskError(f"{path} cannot be read as YAML: {exc}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TaskError(f"{path} holds a {type(found).__name__}, expected a table of settings")
    return {str(key): value for key, value in found.items()}


def _flow_depth(text: str) -> int:
    """Return the deepest nesting of brackets, quotes not regarded; the reader takes seconds for thousands."""
    deepest = depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth = max(0, depth - 1)
    return deepest


def table(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a table inside of another; an empty one if there is none."""
    value = found.get(key)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def number(value: object, least: float) -> float | None:
    """Return a number from `least` up to 1e9; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e9:
        return None
    return value


def parse_python(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file, which is not run.

    Raises:
        TaskError: it is not valid Python.
    """
    try:
        return ast.parse(read_text(path), filename=str(path))
    except (RecursionError, MemoryError):
        raise TaskError(f"{path} is nested too deeply to be read as Python") from None
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        raise TaskError(f"{path}{f':{line}' if line else ''} is not valid Python: {exc}") from None


def program_in(folder: Path, stem: str) -> list[Path]:
    """Return the programs of that name, sorted; the exact name with `.py` first, then others that begin so."""
    exact = sorted(folder.glob(f"{stem}.*"), key=lambda path: (path.suffix != ".py", path.name))
    return [*exact, *sorted(path for path in folder.glob(f"{stem}_*.py"))]


def outside_functions(code: str) -> list[str]:
    """Return the names of top-level functions outside all EVOLVE-BLOCKs; empty if the program has no block."""
    blocks = read_blocks(code)
    if blocks is None:
        return []
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return []
    is_outside: list[bool] = []
    for index, text in enumerate(blocks.outside):
        is_outside += [True] * text.count("\n")
        is_outside += [False] * (blocks.inside[index].count("\n") if index < len(blocks.inside) else 0)
    return [
        item.name
        for item in body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and all(is_outside[item.lineno - 1 : item.lineno])
    ]


def readme_of(folder: Path) -> str:
    """Return the text of README.md up to its second heading of the same rank; empty if there is none."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    lines: list[str] = []
    for line in read_text(path).splitlines():
        if line.startswith("## ") and any(kept.strip() and not kept.startswith("#") for kept in lines):
            break
        lines.append(line)
    return "\n".join(lines).strip()


def task_name(folder: Path) -> str:
    """Return a task's name made of the folder's; of its parent's too if that alone is a number or too common."""
    name = folder.name
    if name.isdigit() or name in ("evaluator", "src", "task"):
        name = f"{folder.parent.name}_{name}" if name.isdigit() else folder.parent.name
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
    return cleaned or "task"
