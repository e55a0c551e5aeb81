"""The settings of a run as rows: value, where it came from, what it means, whether it may change."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from engine.runs.changes import FIXED
from engine.settings.model import Settings
from engine.state.run_state import RunState
from tui.model.labels import clock

__all__ = ["SettingRow", "setting_rows"]


class SettingRow(NamedTuple):
    """One setting of a run."""

    path: str
    """Its name with dots, as `evolve set` takes it."""
    value: Any
    origin: str
    about: str
    """Its docstring on one line."""
    fixed: str
    """Why it cannot be changed here; empty if it can."""


def setting_rows(state: RunState, changed: Mapping[str, int]) -> list[SettingRow]:
    """Return all settings of a run, limits first.

    Args:
        state: the run.
        changed: when people set settings, in milliseconds, by their names with dots.
    """
    defaults = dict(_flat(msgspec.to_builtins(Settings())))
    of_task = dict(_flat(state.spec.run))
    rows = []
    for path, value in _flat(msgspec.to_builtins(state.settings)):
        name = next((name for name in (path, *_prefixes(path)) if name in changed), "")
        if name:
            origin = f"set {clock(changed[name])}"
        elif path in defaults and value == defaults[path]:
            origin = "default"
        else:
            origin = "task" if path in of_task and of_task[path] == value else "start"
        rows.append(SettingRow(path, value, origin, _about(path, state.settings), _why_fixed(path)))
    return rows


def _prefixes(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _why_fixed(path: str) -> str:
    if path in FIXED:
        return "it is read once, at the run's start"
    if path.startswith(("models.", "answers")):
        return "'evolve set' changes it, since it says who is asked"
    return ""


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _about(path: str, settings: Settings) -> str:
    """Return the docstring of the innermost field that has one."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        owner: Any = settings
        for part in parts[: length - 1]:
            owner = owner.get(part) if isinstance(owner, Mapping) else getattr(owner, part, None)
        if isinstance(owner, msgspec.Struct) and parts[length - 1] in (told := _docstrings(type(owner))):
            return told[parts[length - 1]]
    return ""


@cache
def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings under the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, said in zip(body.body, body.body[1:], strict=False):
        told = isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) and said.value.value
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(told, str):
            found[field.target.id] = " ".join(told.split())
    return found
