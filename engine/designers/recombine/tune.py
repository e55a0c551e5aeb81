"""List a program's tunable values, and change the value of a literal without changing other text."""

from __future__ import annotations

from collections.abc import Iterable

from engine.designers.recombine.comments import same_value
from engine.designers.recombine.messages import Tunable, Value
from engine.designers.recombine.parted import Parted
from engine.designers.recombine.program import EditError, Item, Program
from engine.designers.recombine.tunable import tunables_of

__all__ = ["set_value", "tunables"]


def tunables(program: Program, required: Iterable[str]) -> list[Tunable]:
    """Return tunable values that are reachable from the required names, in the order of the text."""
    live = program.live(required)
    read = {name for item in program.items for name in item.reads if live.intersection(item.names) or not item.names}
    return [
        tunable
        for item in program.items
        if item.kind == "other" or (live.intersection(item.names) and _is_definite(program, item, read))
        for tunable in tunables_of(program, item)
    ]


def _is_definite(program: Program, item: Item, read: set[str]) -> bool:
    """Tell whether a statement is the only one that defines its names and, for a value, whether anything reads it."""
    if any(len(program.by_name[name]) > 1 for name in item.names):
        return False
    return item.kind != "assign" or bool(read.intersection(item.names))


def set_value(program: Parted, owner: str, index: int, old: Value, new: Value) -> str:
    """Return the source with one literal of a statement changed.

    Args:
        program: the program to edit.
        owner: the statement, by the name of its literals.
        index: index of the literal among them.
        old: the present value.
        new: the new value.

    Raises:
        EditError: there is no such literal.
    """
    item = program.owners.get(owner)
    literals = program.literals[item.index] if item is not None else []
    if item is None or not 0 <= index < len(literals) or not same_value(literals[index].value, old):
        raise EditError(f"{owner} does not hold the value {old!r} that was to be changed")
    return program.with_values([(item.index, index, new)])
