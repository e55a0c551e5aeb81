"""Definitions that an answer left out: a model uses a constant of a recipe that it saw, and does not repeat it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from engine.llm.parts import behind_imports
from engine.llm.requests import DesignRequest
from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError, unbound_names
from engine.programs.trees import lines_of, parsed

__all__ = ["with_left_out"]

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def with_left_out(code: str, request: DesignRequest, language: Language) -> tuple[str, str]:
    """Define the names that a program lacks as the recipes and the other nodes of its request define them.

    Constants, functions, classes and imports are taken, and what they need in turn. They go behind the program's
    imports. What is executed there and then must not need what the program defines further down, and is not taken
    otherwise. Names that the parent lacks as well stay as they are, and so do programs of other languages than Python.

    Returns:
        The program, unchanged if nothing can be taken, and sentences that say what was taken and from where.

    Raises:
        ProgramError: the program is not valid Python.
    """
    if not language.is_python or not unbound_names(code):
        return code, ""
    known = _unbound(request.parent.code)
    own, taken = _own(code), dict[str, _Taken]()
    whole = code
    while missing := [name for name in unbound_names(whole) if name not in known]:
        found = next(((name, item) for name in missing if (item := _find(name, request, language, own))), None)
        if found is None:
            break
        taken[found[0]] = found[1]
        try:
            needs = {name: [need for need in sorted(item.reads) if need in taken] for name, item in taken.items()}
            order = list(TopologicalSorter(needs).static_order())
        except CycleError:
            break
        lines, at = code.split("\n"), behind_imports(code)
        lines[at:at] = [line for name in order for line in taken[name].lines]
        whole = "\n".join(lines)
    return whole, _told(taken)


@dataclass(frozen=True)
class _Taken:
    """A definition."""

    title: str
    """Where it stands, for a sentence."""
    lines: list[str]
    reads: set[str]
    """Names that are read when it is executed, and not only when it is called."""


def _told(taken: Mapping[str, _Taken]) -> str:
    names: dict[str, list[str]] = {}
    for name, item in sorted(taken.items()):
        names.setdefault(item.title, []).append(name)
    return " ".join(f"The answer left out {', '.join(some)}: taken from {title}." for title, some in names.items())


def _unbound(code: str) -> frozenset[str]:
    try:
        return frozenset(unbound_names(code))
    except ProgramError:
        return frozenset()


def _find(name: str, request: DesignRequest, language: Language, own: set[str]) -> _Taken | None:
    """Return the first definition of a name that needs nothing of the program's own at once; priors come first."""
    shown = [
        (f"the prior {prior.title!r}", recipe.code)
        for prior in request.priors
        for recipe in prior.recipes
        if recipe.language in language.fences
    ]
    shown += [(f"#{node.id}", node.code) for node in request.inspirations]
    for title, code in shown:
        try:
            body = parsed(code).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for item in body:
            if name in _defined(item) and not own & (reads := _reads(item)):
                return _Taken(title, lines_of(code)[_first_line(item) : item.end_lineno], reads)
    return None


def _defined(item: ast.stmt) -> set[str]:
    """Return the names that a statement defines; none if it does anything else as well."""
    match item:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(alias.asname or alias.name).partition(".")[0] for alias in names}
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return {name}
    return set()


def _reads(item: ast.stmt) -> set[str]:
    """Return the names that are read when a statement is executed."""
    at_once: list[ast.AST] = [item]
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
        at_once = [item.args, *item.decorator_list, *([item.returns] if item.returns else [])]
    nodes = [node for part in at_once for node in ast.walk(part)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _own(program: str) -> set[str]:
    """Return the names that a program defines, but for its imports, behind which new definitions stand."""
    body = parsed(program).body
    return {name for part in body if not isinstance(part, ast.Import | ast.ImportFrom) for name in _bound(part)}


def _bound(item: ast.stmt) -> set[str]:
    if isinstance(item, _DEFINITIONS):
        return {item.name}
    return {node.id for node in ast.walk(item) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _first_line(item: ast.stmt) -> int:
    """Return the first line of a statement, its decorators included, from 0."""
    decorators = item.decorator_list if isinstance(item, _DEFINITIONS) else []
    return min([item.lineno, *(decorator.lineno for decorator in decorators)]) - 1
