"""Definitions that an answer left out: a model uses a constant of a recipe that it saw, and does not repeat it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from engine.llm.requests import DesignRequest
from engine.programs.blocks import read_blocks
from engine.programs.languages.base import Language
from engine.programs.outline import BUILTIN_NAMES, ProgramError, unbound_names, uses_of
from engine.programs.trees import lines_of, nodes_of, parsed

__all__ = ["with_left_out"]

_MOST = 32
"""Names that are taken for one program: a program that lacks more is no slip of a model."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def with_left_out(
    code: str, request: DesignRequest, language: Language, within_blocks: bool = False
) -> tuple[str, str]:
    """Define the names that a program lacks as the recipes and the other nodes of its request define them.

    Constants, functions, classes and imports are taken, and what they need in turn: all of it, or nothing. They go
    behind the program's imports. What is executed there and then must not need what the program defines further down.
    Names that the parent lacks as well stay as they are, and so do programs of other languages than Python.

    Args:
        code: the program.
        request: what its model was asked.
        language: of the program.
        within_blocks: whether text outside the parent's EVOLVE-BLOCKs is put back later; definitions then go into
            the first block.

    Returns:
        The program, unchanged if nothing can be taken, and sentences that say what was taken and from where.

    Raises:
        ProgramError: the program is not valid Python.
    """
    if not language.is_python or not (lacking := unbound_names(code)):
        return code, ""
    known = _unbound(request.parent.code)
    missing = [name for name in lacking if name not in known]
    at = _place(code, within_blocks and read_blocks(request.parent.code) is not None)
    if not missing or at is None:
        return code, ""
    body = parsed(code).body
    bound = {name for item in body for name in _bound(item)}
    before = {name for item in body if (item.end_lineno or 0) <= at for name in _bound(item)}
    taken = _take(missing, bound, _offered(request, language))
    order = _order(taken, bound - before)
    if not order:
        return code, ""
    whole = _inserted(code, at, [line for name in order for line in taken[name].lines])
    try:
        # A text that is no statement where it now stands is not worth more than the answer's.
        fits = len(parsed(whole).body) == len(body) + sum(item.count for item in taken.values())
        complete = fits and known.issuperset(unbound_names(whole))
    except (ProgramError, SyntaxError, ValueError, RecursionError, MemoryError):
        complete = False
    return (whole, _told(taken)) if complete else (code, "")


@dataclass(frozen=True)
class _Taken:
    """A definition."""

    title: str
    """Where it stands, for a sentence."""
    lines: list[str]
    now: set[str]
    """Names that are read when it is executed, and not only when it is called."""
    reads: set[str]
    """Names that are read then or later."""
    count: int = 1
    """Statements in it."""


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


def _take(missing: list[str], bound: set[str], offered: Mapping[str, _Offer]) -> dict[str, _Taken]:
    """Return definitions of names, and of what they need that the program does not bind; none if one is not offered."""
    taken: dict[str, _Taken] = {}
    pending = list(missing)
    while pending:
        name = pending.pop()
        if name in taken:
            continue
        if name not in offered or len(taken) >= _MOST:
            return {}
        taken[name] = offered[name].taken()
        pending += taken[name].reads - bound
    return taken


def _order(taken: Mapping[str, _Taken], later: set[str]) -> list[str]:
    """Return the order in which definitions can be executed; none if they need each other, or what comes later."""
    needs: dict[str, list[str]] = {}
    for name, item in taken.items():
        needed: set[str] = set()
        pending = list(item.now)
        while pending:
            other = pending.pop()
            if other not in needed:
                needed.add(other)
                # It may be called at once, and then reads all that it ever reads.
                pending += taken[other].reads if other in taken else ()
        if needed & later:
            return []
        needs[name] = sorted(needed & taken.keys())
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError:
        return []


@dataclass(frozen=True)
class _Offer:
    """Statements that alone say all about a name; several only if they import modules of one package."""

    title: str
    items: list[ast.stmt]
    lines: list[str]
    """Their text, line by line."""

    def taken(self) -> _Taken:
        now = set[str]().union(*(_read_now(item) for item in self.items))
        reads = set[str]().union(*(_free(item) for item in self.items))
        return _Taken(self.title, self.lines, now, reads, len(self.items))


def _offered(request: DesignRequest, language: Language) -> Mapping[str, _Offer]:
    """Return the definitions of a request's recipes and other nodes; those of priors come first."""
    shown = [
        (f"the prior {prior.title!r}", recipe.code)
        for prior in request.priors
        for recipe in prior.recipes
        if recipe.language in language.fences
    ]
    shown += [(f"#{node.id}", node.code) for node in request.inspirations]
    found: dict[str, _Offer] = {}
    for title, code in shown:
        try:
            body = parsed(code).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        found = _offers(title, body, lines_of(code)) | found
    return found


def _offers(title: str, body: list[ast.stmt], lines: list[str]) -> dict[str, _Offer]:
    """Return the definitions of a text by name, but for names that it binds or changes in several places."""
    found: dict[str, _Offer] = {}
    unclear: set[str] = set()
    for place, item in enumerate(body):
        last = item.end_lineno or item.lineno
        follows = place + 1 < len(body) and _first_line(body[place + 1]) < last
        text = lines[_first_line(item) : last]
        for name, alone in _defined(item):
            if isinstance(alone, ast.Import | ast.ImportFrom):
                text = [ast.unparse(alone)]
            elif item.col_offset or follows:
                unclear.add(name)  # its lines hold another statement
            known = found.get(name)
            if known is None:
                found[name] = _Offer(title, [alone], text)
            elif _is_package(alone) and all(map(_is_package, known.items)):
                new = text[0] not in known.lines
                found[name] = _Offer(title, [*known.items, *([alone] * new)], [*known.lines, *(text * new)])
            elif text != known.lines:
                unclear.add(name)
        unclear |= _changed(item)
    return {name: offer for name, offer in found.items() if name not in unclear}


def _is_package(item: ast.stmt) -> bool:
    return isinstance(item, ast.Import) and item.names[0].asname is None


def _defined(item: ast.stmt) -> list[tuple[str, ast.stmt]]:
    """Return the names that a statement defines, each with what defines it; none if it does anything else as well."""
    match item:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [(name, item)]
        case ast.Import(names=names):
            return [((each.asname or each.name).partition(".")[0], ast.Import([each])) for each in names]
        case ast.ImportFrom(module=module, names=names, level=0) if module != "__future__":
            return [(each.asname or each.name, ast.ImportFrom(module, [each], 0)) for each in names]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return [(name, item)] if _bound(item) == {name} else []
    return []


def _changed(item: ast.stmt) -> set[str]:
    """Return the names of which a statement of the top level that is no definition may change the value."""
    if isinstance(item, ast.Import | ast.ImportFrom) or _defined(item):
        return set()
    if isinstance(item, ast.If) and any(isinstance(x, ast.Name) and x.id == "__name__" for x in nodes_of(item.test)):
        return set()
    return {node.id for node in nodes_of(item) if isinstance(node, ast.Name)} | set(_bound(item))


def _read_now(item: ast.stmt) -> set[str]:
    """Return the names that are read when a statement is executed."""
    if not isinstance(item, _FUNCTIONS):
        return _free(item)
    at_once = [item.args, *item.decorator_list, *([item.returns] if item.returns else [])]
    names = {node.id for part in at_once for node in nodes_of(part) if isinstance(node, ast.Name)}
    return names - BUILTIN_NAMES


def _free(item: ast.stmt) -> set[str]:
    """Return the names that a statement reads, be it later, and does not bind itself."""
    reads, bound = uses_of(item) or (set(), set())
    return reads - bound - BUILTIN_NAMES


def _bound(item: ast.AST) -> set[str]:
    """Return the names that a statement of the top level binds when it is executed."""
    found: set[str] = set()
    pending = [item]
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
                continue
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(each.asname or each.name).partition(".")[0] for each in names}
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                found.add(name)
            case ast.MatchMapping(rest=str(name)):
                found.add(name)
        if not isinstance(node, _SCOPES):
            pending += ast.iter_child_nodes(node)
    return found


def _place(code: str, within_blocks: bool) -> int | None:
    """Return the line behind the imports at a program's head, or at that of its first block, from 0.

    None if that is no place between two statements.
    """
    body, at, end = parsed(code).body, 0, len(lines_of(code))
    if within_blocks:
        marks = [row for row, line in enumerate(lines_of(code)) if "EVOLVE-BLOCK-" in line]
        if len(marks) < 2:
            return None
        at, end = marks[0] + 1, marks[1]
    for place, item in enumerate(body):
        last = item.end_lineno or item.lineno
        docstring = place == 0 and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
        if last > at and last <= end and (docstring or isinstance(item, ast.Import | ast.ImportFrom)):
            at = last
        elif last > at:
            return at if _first_line(item) >= at else None
    return at


def _inserted(code: str, at: int, lines: list[str]) -> str:
    """Return a program with lines put in before one of its own, counted from 0, and all others as they were."""
    end = "\r\n" if "\r\n" in code else "\n"
    own = re.split(r"(?<=\n)|(?<=\r)(?!\n)", code)
    head = "".join(own[:at])
    if head and not head.endswith(("\n", "\r")):
        head += end
    return head + "".join(line + end for line in lines) + "".join(own[at:])


def _first_line(item: ast.stmt) -> int:
    """Return the first line of a statement, its decorators included, from 0."""
    decorators = item.decorator_list if isinstance(item, _DEFINITIONS) else []
    return min([item.lineno, *(decorator.lineno for decorator in decorators)]) - 1
