"""Parse Python programs once for all who read them in a round, and walk through their syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

__all__ = ["Remembered", "lines_of", "nodes_of", "parsed"]

_KEPT = 4
_LARGEST = 200_000
"""Characters of the largest program whose tree is kept: a tree takes a hundred times the memory of its text."""

_MOST_CHARACTERS = 4_000_000
"""Of statements that something is remembered of."""


def parsed(code: str) -> ast.Module:
    """Return a program's syntax tree, which no caller may change.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is not valid Python, or nested too deeply.
    """
    return _parsed(code) if len(code) <= _LARGEST else ast.parse(code)


@lru_cache(maxsize=_KEPT)
def _parsed(code: str) -> ast.Module:
    return ast.parse(code)


def nodes_of(item: ast.AST) -> list[ast.AST]:
    """Return a node and all below it, as `ast.walk` does in a third of the time; contexts of names are left out."""
    found = [item]
    for node in found:  # it grows meanwhile
        for value in node.__dict__.values():
            if value.__class__ is list:
                found += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                found.append(value)
    return found


def lines_of(code: str) -> list[str]:
    """Return a program's lines as the parser counts them; str.splitlines would also split at form feeds and others."""
    return re.split(r"\r\n|\r|\n", code)


_Found = TypeVar("_Found")


class Remembered(Generic[_Found]):
    """What was found in statements of the top level, by their text: most of a program also occur in its parent.

    What is found may take ten times the memory of the text, so that the characters of all texts are limited, too.

    Args:
        find: looks at a statement.
        kept: how many are remembered.
    """

    def __init__(self, find: Callable[[ast.stmt], _Found], kept: int) -> None:
        self._find, self._kept = find, kept
        self._known: dict[tuple[str, int, int | None], _Found] = {}
        self._characters = 0

    def of(self, item: ast.stmt, lines: list[str]) -> _Found:
        """Return what is found in a statement of a program with these lines."""
        first = min([item.lineno, *(decorator.lineno for decorator in getattr(item, "decorator_list", []))])
        key = ("\n".join(lines[first - 1 : item.end_lineno]), item.col_offset, item.end_col_offset)
        found = self._known.get(key)
        if found is None:
            found = self._find(item)
            if len(self._known) >= self._kept or self._characters >= _MOST_CHARACTERS:
                self._known.clear()
                self._characters = 0
            if len(key[0]) <= _LARGEST:
                self._known[key] = found
                self._characters += len(key[0])
        return found
