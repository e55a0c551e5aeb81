"""Compare functions of two programs: equal, or equal except for numbers."""

from __future__ import annotations

from collections.abc import Sequence

from engine.designers.recombine.parted import Part, Parted
from engine.designers.recombine.tunable import Blank

__all__ = ["alike", "matched", "same_effect"]


def alike(program: Parted, donor: Parted, name: str, components: frozenset[str], *, values: bool) -> bool:
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
    program: Parted,
    donor: Parted,
    name: str,
    components: frozenset[str],
    *,
    outside: Blank = "nothing",
    inside: Blank = "nothing",
) -> list[tuple[Part, Part]] | None:
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
    pairs: list[tuple[Part, Part]] = []
    while pending:
        mine, theirs = pending.pop()
        left, right = program.by_name.get(mine, []), donor.by_name.get(theirs, [])
        if len(left) != 1 or len(right) != 1 or left[0].kind != right[0].kind:
            return None
        blank = outside if left[0].kind == "assign" else inside
        (text, names), (other_text, other_names) = (
            program.shape(left[0].index, blank),
            donor.shape(right[0].index, blank),
        )
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


def _is_helper(program: Parted, item: Part, name: str, components: frozenset[str]) -> bool:
    """Tell whether a name in a statement is a definition of the program, but neither a component nor an import."""
    if name in item.locals or name in components:
        return False
    defined = program.by_name.get(name, [])
    return bool(defined) and all(other.kind != "import" for other in defined)


def same_effect(before: Parted, after: Parted, required: Sequence[str]) -> bool:
    """Tell whether all reachable statements of two programs are equal."""

    def forms(program: Parted) -> list[object]:
        names = program.live(required)
        return [
            program.form(item.index) for item in program.items if item.kind == "other" or names.intersection(item.names)
        ]

    return forms(before) == forms(after)
