"""Change names in a program's text, each where it means the module's name and nowhere else."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterable

from engine.designers.recombine.program import BUILTINS, EditError, Item, Program, source_lines

__all__ = ["quote_annotations", "rename"]

_Edit = tuple[int, int, str]
"""First byte, last byte and one, new text."""


def rename(program: Program, items: Iterable[Item], names: dict[str, str]) -> str:
    """Return the source with module-level names changed in some of its statements.

    Args:
        program: the program.
        items: the statements to change.
        names: new names by old.

    Raises:
        EditError: a name occurs where it cannot be changed, or where it may mean another.
    """
    lines = _Lines(program.code)
    twins: dict[int, ast.AST] = {}
    expected = copy.deepcopy(program.tree, twins)
    edits: list[_Edit] = []
    for item in items:
        unclear = item.scopes.unclear & names.keys()
        if unclear:
            raise EditError(f"{', '.join(sorted(unclear))} may be global or local in the donor's {item.names[0]}")
        for place in item.scopes.places:
            if place.name in names:
                edits.append(_edit(lines, place.node, twins[id(place.node)], place.name, names[place.name]))
    changed = lines.with_edits(edits)
    try:
        same = ast.dump(ast.parse(changed)) == ast.dump(expected)
    except (SyntaxError, ValueError):
        same = False
    if not same:
        raise EditError(f"{', '.join(sorted(names))} cannot be renamed in the donor")
    return changed


def quote_annotations(program: Program) -> str:
    """Return the source with annotations as text, as `from __future__ import annotations` makes them.

    Annotations of builtin types alone mean the same either way and stay.
    """
    lines = _Lines(program.code)
    found = [
        node.annotation
        for node in ast.walk(program.tree)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation
    ]
    found += [
        node.returns
        for node in ast.walk(program.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns
    ]
    edits = []
    for annotation in found:
        plain = all(
            (not isinstance(node, ast.Name) or node.id in BUILTINS - program.by_name.keys())
            and not (isinstance(node, ast.Constant) and isinstance(node.value, str))
            for node in ast.walk(annotation)
        )
        if not plain and not isinstance(annotation, ast.Constant):
            edits.append((*lines.span(annotation), repr(ast.unparse(annotation))))
    return lines.with_edits(edits)


class _Lines:
    """A source as bytes, by line and column as `ast` counts them."""

    def __init__(self, code: str) -> None:
        self._bytes = code.encode()
        self._starts = [0]
        for line in source_lines(code):
            self._starts.append(self._starts[-1] + len(line.encode()))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        start = self._starts[first - 1] + getattr(node, "col_offset", 0)
        return start, self._starts[last - 1] + getattr(node, "end_col_offset", 0)

    def find(self, node: ast.AST, pattern: str) -> tuple[int, int] | None:
        """Return where the first group of a pattern is in a node's text."""
        start, end = self.span(node)
        match = re.compile(pattern.encode()).search(self._bytes, start, end)
        return match.span(1) if match else None

    def with_edits(self, edits: Iterable[_Edit]) -> str:
        """Return the text with parts replaced."""
        out, last = [], 0
        for start, end, text in sorted(set(edits)):
            if start < last:
                raise EditError("parts of the donor that overlap cannot be changed")
            out += [self._bytes[last:start], text.encode()]
            last = end
        return b"".join([*out, self._bytes[last:]]).decode()


def _edit(lines: _Lines, node: ast.AST, twin: ast.AST, name: str, new: str) -> _Edit:
    """Return the change of one name, and make it in the expected tree."""
    found: tuple[int, int] | None = None
    if isinstance(twin, ast.Name):
        found, twin.id = lines.span(node), new
    elif isinstance(twin, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        found = lines.find(node, rf"(?:def|class)[\s\\]+({re.escape(twin.name)})")
        twin.name = new
    elif isinstance(twin, ast.Global):
        twin.names = [new if each == name else each for each in twin.names]
        found = lines.find(node, rf"(?<![^\s,])({re.escape(name)})(?![^\s,;#\\])")
    if found is None:
        raise EditError(f"{name} is bound in the donor in a way that cannot be renamed")
    return (*found, new)
