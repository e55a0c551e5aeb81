"""Compare functions of two programs: equal, or equal except for numbers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal as OneOf

from engine.designers.recombine.program import Item, Program
from engine.designers.recombine.tune import tunables_of

__all__ = ["Blank", "alike", "matched", "same_effect", "shape"]

Blank = OneOf["nothing", "tunables", "numbers", "all"]
"""Which values to ignore in a comparison."""


def shape(program: Program, item: Item, blank: Blank = "nothing") -> tuple[str, tuple[str, ...]]:
    """Return a statement's syntax tree as text without docstring and names, and the names in order.

    Names of parameters and attributes, and the names that classes and loose statements define, stay in the text.
    """
    found = program.shapes.get((item.index, blank))
    if found is None:
        literals = program.literals[item.index]
        if blank == "tunables":
            left_out = {id(literals[tunable.index].node) for tunable in tunables_of(program, item)}
        else:
            sorts = {"nothing": (), "numbers": (int, float), "all": (object,)}[blank]
            left_out = {id(literal.node) for literal in literals if isinstance(literal.value, sorts)}
        out: list[str] = []
        names: list[str] = []
        for node in item.nodes:
            _dump(_undocumented(node), left_out, out, names)
        found = program.shapes[item.index, blank] = (" ".join(out), tuple(names))
    return found


def _dump(node: ast.AST, left_out: set[int], out: list[str], names: list[str]) -> None:
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


def alike(program: Program, donor: Program, name: str, components: frozenset[str], *, values: bool) -> bool:
    """Tell whether a function of the program equals the donor's, up to the names of helpers.

    Args:
        program: one program.
        donor: another program, or a recipe.
        name: the function, of both.
        components: functions that may differ between the programs: calls of one are equal in both.
        values: whether numbers in constants, lists and dicts outside functions count too.
    """
    return matched(program, donor, name, components, outside="nothing" if values else "numbers") is not None


def matched(
    program: Program,
    donor: Program,
    name: str,
    components: frozenset[str],
    *,
    outside: Blank = "nothing",
    inside: Blank = "nothing",
) -> list[tuple[Item, Item]] | None:
    """Return pairs of the statements that make up a function in the program and in the donor; None if they differ.

    Args:
        program: one program.
        donor: another program, or a recipe.
        name: the function, of both.
        components: functions that may differ between the programs: calls of one are equal in both.
        outside: values to ignore in constants, lists and dicts outside functions.
        inside: values to ignore in functions and classes.
    """
    pending = [(name, name)]
    paired = {name: name}
    pairs: list[tuple[Item, Item]] = []
    while pending:
        mine, theirs = pending.pop()
        left, right = program.by_name.get(mine, []), donor.by_name.get(theirs, [])
        if len(left) != 1 or len(right) != 1 or left[0].kind != right[0].kind:
            return None
        blank = outside if left[0].kind == "assign" else inside
        (text, names), (other_text, other_names) = shape(program, left[0], blank), shape(donor, right[0], blank)
        if text != other_text:
            return None
        pairs.append((left[0], right[0]))
        for here, there in zip(names, other_names, strict=True):
            if _is_helper(donor, right[0], there, components) and _is_helper(program, left[0], here, components):
                if there not in paired:
                    paired[there] = here
                    pending.append((here, there))
                if paired[there] != here:
                    return None
            elif here != there and (
                there in right[0].locals
                or here in left[0].locals
                or not program.origins(here)
                or program.origins(here) != donor.origins(there)
            ):
                return None
    return pairs


def _is_helper(program: Program, item: Item, name: str, components: frozenset[str]) -> bool:
    """Tell whether a name in a statement is a definition of the program, but neither a component nor an import."""
    if name in item.locals or name in components:
        return False
    defined = program.by_name.get(name, [])
    return bool(defined) and all(other.kind != "import" for other in defined)


def same_effect(before: Program, after: Program, required: Sequence[str]) -> bool:
    """Tell whether all reachable statements of two programs are equal."""

    def shapes(program: Program) -> list[tuple[str, tuple[str, ...]]]:
        names = program.live(required)
        return [
            shape(program, item) for item in program.items if item.kind == "other" or names.intersection(item.names)
        ]

    return shapes(before) == shapes(after)
