"""Cognition items in the text of a program such as ASI-Evolve's init_cognition.py; the program is only read, never run.

An item is a call of `CognitionItem`, or a table of constants with a `content`. Texts may be put together of constants:
added, dedented, stripped, or named where they are assigned.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["items_in_program"]

_FIELDS = ("content", "source", "metadata", "id")
"""In the order of positional arguments."""
_LARGEST = 5_000_000
_MOST_PARTS = 10_000
"""Parts of one item's values: names of names unfold a few lines into gigabytes."""


class _NotConstant(Exception):
    """A value that only the running program knows."""


def items_in_program(text: str) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """Return the items of a program by line, and why others cannot be read, a sentence each.

    Raises:
        ValueError: it is not valid Python, or too large.
    """
    if len(text) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} characters")
    try:
        tree = ast.parse(text)
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply to be read") from None
    except SyntaxError as exc:
        raise ValueError(f"line {exc.lineno} is not valid Python: {exc.msg}") from None
    reader = _Reader(_named(tree))
    found: list[tuple[int, dict[str, Any]]] = []
    refused: list[str] = []
    inside: set[ast.AST] = set()
    for line, fields, parts in sorted(_candidates(tree), key=lambda candidate: candidate[0]):
        if parts in inside:
            continue
        try:
            item = reader.item(fields)
        except (_NotConstant, RecursionError) as exc:
            what = str(exc) if isinstance(exc, _NotConstant) else "what is nested so deeply"
            refused.append(f"line {line}: {what} is known only to the running program, and it is never run")
            continue
        inside.update(ast.walk(parts))
        if isinstance(item.get("content"), str):
            found.append((line, item))
        else:
            refused.append(f"line {line}: its content is no text")
    return found, refused


def _candidates(tree: ast.Module) -> Iterator[tuple[int, dict[str, ast.expr], ast.AST]]:
    """Yield line, fields and node of each item."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "CognitionItem":
            unpacked = any(keyword.arg is None for keyword in node.keywords)
            if unpacked or any(isinstance(argument, ast.Starred) for argument in node.args):
                continue  # CognitionItem(**item): the tables that it unpacks are items themselves
            fields = dict(zip(_FIELDS, node.args, strict=False))
            fields.update({keyword.arg: keyword.value for keyword in node.keywords if keyword.arg in _FIELDS})
            yield node.lineno, fields, node
        elif isinstance(node, ast.Dict):
            keys = [str(key.value) if isinstance(key, ast.Constant) else "" for key in node.keys]
            if "content" in keys and set(keys) <= set(_FIELDS):
                yield node.lineno, dict(zip(keys, node.values, strict=True)), node


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _named(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what is assigned to a name that nothing else is assigned to."""
    stored: Counter[str] = Counter()
    values: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stored[node.id] += 1
        elif isinstance(node, ast.arg):
            stored[node.arg] += 2
        elif isinstance(node, ast.Assign):
            values.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = node.value
    return {name: value for name, value in values.items() if stored[name] == 1}


_TEXT_CALLS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lstrip": str.lstrip,
    "rstrip": str.rstrip,
    "dedent": textwrap.dedent,
    "cleandoc": inspect.cleandoc,
}


class _Reader:
    """Reads constants, of a bounded number of parts."""

    def __init__(self, names: dict[str, ast.expr]) -> None:
        self._names = names
        self._open: list[str] = []
        self._left = 0

    def item(self, fields: dict[str, ast.expr]) -> dict[str, Any]:
        """Return the values of an item's fields.

        Raises:
            _NotConstant: only the running program knows one, or they have too many parts.
        """
        self._left = _MOST_PARTS
        return {name: self.value(value) for name, value in fields.items()}

    def value(self, node: ast.expr) -> Any:
        """Return a constant's value; raises as `item`."""
        self._left -= 1
        if self._left < 0:
            raise _NotConstant(f"what is put together of more than {_MOST_PARTS:,} parts")
        match node:
            case ast.Constant(value=str() | int() | float() | None):
                self._left -= len(node.value) // 100 if isinstance(node.value, str) else 0
                return node.value
            case ast.Name() if node.id in self._names and node.id not in self._open:
                self._open.append(node.id)
                try:
                    return self.value(self._names[node.id])
                finally:
                    self._open.pop()
            case ast.JoinedStr():
                return self._joined([self.value(part) for part in node.values])
            case ast.FormattedValue() if node.conversion == -1 and node.format_spec is None:
                return str(self.value(node.value))
            case ast.BinOp(op=ast.Add()):
                return self._joined([self.value(node.left), self.value(node.right)])
            case ast.UnaryOp(op=ast.USub()):
                number = self.value(node.operand)
                if isinstance(number, int | float):
                    return -number
            case ast.List() | ast.Tuple() | ast.Set():
                return [self.value(item) for item in node.elts]
            case ast.Dict():
                keys = [None if key is None else self.value(key) for key in node.keys]
                if all(isinstance(key, str) for key in keys):
                    return dict(zip(keys, map(self.value, node.values), strict=True))
            case ast.Call() if _called(node) in _TEXT_CALLS and not node.keywords:
                # `"…".strip()` and `dedent("…")` alike
                owner = [node.func.value] if isinstance(node.func, ast.Attribute) and not node.args else []
                texts = [self.value(item) for item in (*owner, *node.args)]
                if len(texts) == 1 and isinstance(texts[0], str):
                    return _TEXT_CALLS[_called(node)](texts[0])
        raise _NotConstant(ast.unparse(node)[:60])

    def _joined(self, parts: list[Any]) -> str:
        if not all(isinstance(part, str) for part in parts):
            raise _NotConstant("a sum of other things than texts")
        self._left -= sum(map(len, parts)) // 100
        return "".join(parts)
