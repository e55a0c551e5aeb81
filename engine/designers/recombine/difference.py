"""List the differences between two programs, statement by statement and number by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.designers.recombine.comments import same_value
from engine.designers.recombine.likeness import shape
from engine.designers.recombine.literals import Literal
from engine.designers.recombine.messages import Difference, Value
from engine.designers.recombine.program import Item, Program
from engine.designers.recombine.tune import name_of

__all__ = ["differences"]

_OUTSIDE = "what stands outside of functions"
_TEXT_LENGTH = 24


def differences(before: Program, after: Program, names: Collection[str] | None = None) -> list[Difference]:
    """List differences in the order of the second program, removed parts last. Comments and layout do not count.

    Args:
        before: the first program.
        after: the second program.
        names: the names to compare; by default all.
    """
    looked_at = {*before.by_name, *after.by_name} if names is None else names
    found: list[Difference] = []
    for name, items in after.by_name.items():
        if name not in looked_at:
            continue
        if name in before.by_name:
            found += _between(name, before, before.by_name[name], after, items)
        elif any(item.kind != "import" for item in items):
            found.append(Difference("added", name, name))
    loose = [[item for item in program.items if item.kind == "other"] for program in (before, after)]
    found += _between(_OUTSIDE, before, loose[0], after, loose[1])
    found += [
        Difference("removed", name, name)
        for name, items in before.by_name.items()
        if name in looked_at and name not in after.by_name and any(item.kind != "import" for item in items)
    ]
    return list(dict.fromkeys(found))


def _between(name: str, before: Program, old: Sequence[Item], after: Program, new: Sequence[Item]) -> list[Difference]:
    """List differences between the statements that define a name, pair by pair."""
    if old and all(item.kind == "import" for item in [*old, *new]):
        return [] if before.origins(name) == after.origins(name) else [Difference("changed", name, name)]
    if len(old) != len(new):
        return [Difference("changed", name, name)]
    found: list[Difference] = []
    for left, right in zip(old, new, strict=True):
        if shape(before, left) == shape(after, right):
            continue
        pairs = _values(before, left, after, right)
        if pairs is None:
            return [Difference("changed", name, name)]
        found += [
            Difference("value", name, name_of(right, there), *_texts(here.value, there.value)) for here, there in pairs
        ]
    return found


def _values(before: Program, left: Item, after: Program, right: Item) -> list[tuple[Literal, Literal]] | None:
    """Return pairs of differing literals of two statements; None if they differ in more than literals."""
    if left.kind != right.kind or shape(before, left, "all") != shape(after, right, "all"):
        return None
    pairs = zip(before.literals[left.index], after.literals[right.index], strict=True)
    return [(here, there) for here, there in pairs if not same_value(here.value, there.value)]


def _texts(old: Value, new: Value) -> tuple[str, str]:
    """Format two values so that their texts differ."""
    short = _text(old), _text(new)
    return short if short[0] != short[1] else (repr(old), repr(new))


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = repr(value)
    return text if len(text) <= _TEXT_LENGTH else text[: _TEXT_LENGTH - 1] + "…"
