"""Give a number in a program another value; nothing else of the text changes."""

from __future__ import annotations

import ast

from engine.designers.recombine.program import EditError, Program, source_lines

__all__ = ["set_constant", "set_literal"]


def set_constant(program: Program, name: str, value: int | float) -> str:
    """The source with a module-level numeric constant set to `value`.

    Raises:
        EditError: there is no such constant.
    """
    node = program.number(name)
    if node is None:
        raise EditError(f"there is no numeric constant {name}")
    return _splice(program.code, node, value)


def set_literal(program: Program, function: str, index: int, value: float) -> str:
    """The source with the `index`-th float literal of a function set to `value`.

    Raises:
        EditError: there is no such literal.
    """
    literals = program.literals(function)
    if not 0 <= index < len(literals):
        raise EditError(f"{function} has no float literal number {index}")
    return _splice(program.code, literals[index], value)


def _splice(code: str, node: ast.expr, value: int | float) -> str:
    """Replace the text of a node that stands on one line; columns of `ast` count bytes."""
    lines = source_lines(code)
    line = lines[node.lineno - 1].encode()
    if node.end_lineno != node.lineno:
        raise EditError("a number that spans lines cannot be edited")
    lines[node.lineno - 1] = (line[: node.col_offset] + repr(value).encode() + line[node.end_col_offset :]).decode()
    return "".join(lines)
