"""Write a statement of Python as text in which comments, layout, docstrings and names do not count."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

__all__ = ["shape_of"]


def shape_of(nodes: Sequence[ast.stmt], left_out: Collection[int]) -> tuple[str, tuple[str, ...]]:
    """Return statements as text without docstrings and names, and the names in order.

    Args:
        nodes: the statements.
        left_out: nodes to leave out, by `id`.
    """
    out: list[str] = []
    names: list[str] = []
    for node in nodes:
        _dump(_undocumented(node), left_out, out, names)
    return " ".join(out), tuple(names)


def _dump(node: ast.AST, left_out: Collection[int], out: list[str], names: list[str]) -> None:
    if id(node) in left_out:
        out.append("?")
        return
    out.append(type(node).__name__)
    if isinstance(node, ast.Name):
        names.append(node.id)
        return
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            if not isinstance(value, ast.expr_context):
                _dump(value, left_out, out, names)
        elif isinstance(value, list):
            out.append("[")
            for part in value:
                if isinstance(part, ast.AST):
                    _dump(part, left_out, out, names)
                else:
                    out.append(repr(part))
            out.append("]")
        elif name != "type_comment":
            out.append(repr(value))


def _undocumented(node: ast.stmt) -> ast.AST:
    """Return the statement for a comparison: a function without its name and docstring."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        return type(node)("", node.args, body, node.decorator_list, node.returns)
    return node
