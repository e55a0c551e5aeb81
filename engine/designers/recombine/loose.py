"""Find what a program's loose statements (calls, assignments to elements, loops) change of what it defines."""

from __future__ import annotations

import ast

from engine.designers.recombine.literals import is_main_guard
from engine.designers.recombine.program import Item, Program

__all__ = ["DYNAMIC", "changers", "is_loose", "touched"]

DYNAMIC = frozenset({"globals", "eval", "exec"})
"""Builtins by which a program reads names that its text does not show."""


def is_loose(item: Item) -> bool:
    """Tell whether a statement is neither a definition nor an import, docstring or main guard."""
    node = item.nodes[0]
    if item.kind != "other" or isinstance(node, ast.ImportFrom):
        return False
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return False
    return not is_main_guard(node)


def touched(program: Program, item: Item) -> set[str]:
    """Return the names that a loose statement defines or may change: a constant that it reads may be a list."""
    values = {
        name
        for name in item.reads
        if any(other.kind not in ("import", "function", "class") for other in program.by_name.get(name, ()))
    }
    return {*item.names, *values, *item.scopes.changed, *item.scopes.writes}


def changers(program: Program, name: str) -> list[str]:
    """Return what may change a name after its definition: loose statements as text, and functions that rebind it."""
    return sorted(
        "".join(ast.dump(node) for node in item.nodes) if is_loose(item) else ",".join(item.names)
        for item in program.items
        if (name in touched(program, item) if is_loose(item) else name in item.scopes.writes) and name not in item.names
    )
