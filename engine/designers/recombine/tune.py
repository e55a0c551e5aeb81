"""List a program's tunable values, and change the value of a literal without changing other text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.designers.recombine.comments import Rule, TuneError, same_value
from engine.designers.recombine.literals import Literal
from engine.designers.recombine.messages import Kind, Tunable, Value
from engine.designers.recombine.program import EditError, Item, Program, owner_of, source_lines

__all__ = ["name_of", "set_value", "set_values", "tunables", "tunables_of"]

_FACTOR = 10.0
"""Factor by which a number without declared bounds may change from its present value."""


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


def tunables_of(program: Program, item: Item) -> list[Tunable]:
    """Return the tunable values of a statement, reachable or not."""
    found = (
        _tunable(item, index, literal, program.rules.of.get((item.index, index)))
        for index, literal in enumerate(program.literals[item.index])
    )
    return [tunable for tunable in found if tunable is not None]


def set_value(program: Program, owner: str, index: int, old: Value, new: Value) -> str:
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
    if not 0 <= index < len(literals) or not same_value(literals[index].value, old):
        raise EditError(f"{owner} does not hold the value {old!r} that was to be changed")
    return set_values(program, [(literals[index], new)])


def set_values(program: Program, values: Sequence[tuple[Literal, Value]]) -> str:
    """Return the source with some of its literals changed."""
    lines = source_lines(program.code)
    # From the end, so that earlier literals keep their positions; columns of `ast` count bytes.
    for literal, value in sorted(values, key=lambda pair: (pair[0].node.lineno, pair[0].node.col_offset), reverse=True):
        node = literal.node
        line = lines[node.lineno - 1].encode()
        before, old, after = (
            line[: node.col_offset],
            line[node.col_offset : node.end_col_offset],
            line[node.end_col_offset :],
        )
        text = _text(value, old.decode(), literal.place == "loose").encode()
        space = b" " if before[-1:].isalnum() and text[:1].isalnum() else b""
        lines[node.lineno - 1] = (before + space + text + after).decode()
    return "".join(lines)


def _text(value: Value, old: str, loose: bool) -> str:
    """Format a literal, with the quotes of the old one."""
    text = repr(value)
    if isinstance(value, str) and old.endswith('"') and '"' not in text:
        return f'"{text[1:-1]}"'
    # `x ** 2` with a negative number for x would be parsed as -(x ** 2).
    return f"({text})" if loose and text.startswith("-") and not old.startswith("-") else text


def _tunable(item: Item, index: int, literal: Literal, rule: Rule | TuneError | None) -> Tunable | None:
    value = literal.value
    if isinstance(rule, TuneError):
        return None
    bounds: tuple[float, float] | None = None
    choices: list[Value] = []
    kind: Kind = "scale"
    if rule is None:
        if isinstance(value, bool):
            if literal.place != "element":
                return None
            kind = "flip"
        elif isinstance(value, int | float):
            bounds = _undeclared(literal, value)
        else:
            return None
    elif rule.kind == "fixed":
        return None
    elif rule.kind == "flip":
        kind = "flip"
    elif rule.kind == "choice":
        kind, choices = "choice", rule.choices
    elif isinstance(value, int | float):
        kind, bounds = rule.kind, rule.bounds or _around(value)
    if kind not in ("flip", "choice") and bounds is None:
        return None
    low, high = bounds or (0.0, 0.0)
    return Tunable(owner_of(item), index, _arm(item, literal), name_of(item, literal), kind, value, low, high, choices)


def _undeclared(literal: Literal, value: int | float) -> tuple[float, float] | None:
    """Return the bounds of a number without a comment; None if it is not tuned.

    A float is a parameter at any place. A whole number is one in a list, dict, array, dataclass, keyword argument or
    default; elsewhere it is more often a count or an index.
    """
    element = literal.place == "element"
    if literal.place == "structure" or not (element or isinstance(value, float)):
        return None
    if value == 0:
        # A zero has no scale of its own: the numbers beside it set its range. A single whole 0 is an index.
        size = literal.company or (1.0 if isinstance(value, float) else 0.0)
        return (-size, size) if element and size else None
    return _around(value)


def _around(value: int | float) -> tuple[float, float] | None:
    if value == 0:
        return None
    low = abs(value) / _FACTOR
    return max(1.0, low) if isinstance(value, int) else low, abs(value) * _FACTOR


def _owner_label(item: Item) -> str:
    """Return the owner's name, with brackets for a function: `in place()` does not read as `in place`."""
    owner = owner_of(item)
    return f"{owner}()" if item.kind == "function" else owner


def _arm(item: Item, literal: Literal) -> str:
    """Return the bandit's arm: `tune/RATE`, `tune/WEIGHTS/WEIGHTS[2]`; numbers without a name share one."""
    label = literal.label.replace("/", "|")
    if label in item.names and item.kind == "assign":
        return f"tune/{label}"
    return f"tune/{_owner_label(item)}" + (f"/{label}" if label else "")


def name_of(item: Item, literal: Literal) -> str:
    """Return the readable name of a literal."""
    owner = owner_of(item)
    outside = item.kind == "other"
    if not literal.label:
        return "a number outside of functions" if outside else f"a number in {_owner_label(item)}"
    own = outside or literal.label in item.names or literal.label.startswith((f"{owner}[", f"{owner}.", f"{owner}("))
    return literal.label if own else f"{literal.label} in {_owner_label(item)}"
