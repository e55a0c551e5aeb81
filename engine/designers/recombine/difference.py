"""List the differences between two programs, statement by statement and number by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.designers.recombine.comments import same_value
from engine.designers.recombine.messages import Difference, Value
from engine.designers.recombine.parted import Part, Parted
from engine.designers.recombine.tunable import Valued, name_of

__all__ = ["differences", "kept_changes"]

_OUTSIDE = "what stands outside of functions"
_TEXT_LENGTH = 24


def differences(before: Parted, after: Parted, names: Collection[str] | None = None) -> list[Difference]:
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


def _between(name: str, before: Parted, old: Sequence[Part], after: Parted, new: Sequence[Part]) -> list[Difference]:
    """List differences between the statements that define a name, pair by pair."""
    if old and all(item.kind == "import" for item in [*old, *new]):
        return [] if before.origins(name) == after.origins(name) else [Difference("changed", name, name)]
    if len(old) != len(new):
        return [Difference("changed", name, name)]
    found: list[Difference] = []
    for left, right in zip(old, new, strict=True):
        if before.form(left.index) == after.form(right.index):
            continue
        pairs = _values(before, left, after, right)
        if pairs is None:
            return [Difference("changed", name, name)]
        found += [
            Difference("value", name, name_of(right, there), *_texts(here.value, there.value)) for here, there in pairs
        ]
    return found


def _values(before: Parted, left: Part, after: Parted, right: Part) -> list[tuple[Valued, Valued]] | None:
    """Return pairs of differing literals of two statements; None if they differ in more than literals."""
    old, new = before.literals[left.index], after.literals[right.index]
    if left.kind != right.kind or len(old) != len(new):
        return None
    if before.shape(left.index, "all") != after.shape(right.index, "all"):
        return None
    return [(here, there) for here, there in zip(old, new, strict=True) if not same_value(here.value, there.value)]


def _texts(old: Value, new: Value) -> tuple[str, str]:
    """Format two values so that their texts differ."""
    short = _text(old), _text(new)
    return short if short[0] != short[1] else (repr(old), repr(new))


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = repr(value)
    return text if len(text) <= _TEXT_LENGTH else text[: _TEXT_LENGTH - 1] + "…"


def kept_changes(step: list[Difference], found: list[Difference]) -> list[Difference]:
    """Return the changes of one edit that remain, reachable, in the program after all edits."""
    whole = {(change.what, change.name): change for change in found}
    owners = {change.owner for change in found}
    kept = [whole.get((change.what, change.name), change) for change in step]
    return [change for change in kept if change.owner in owners]
