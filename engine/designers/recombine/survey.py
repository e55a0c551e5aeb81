"""What can be changed in a program: functions with an alternative, and numbers that can be tuned."""

from __future__ import annotations

from collections.abc import Sequence

from engine.designers.recombine.messages import Donor, Options, Replaced
from engine.designers.recombine.program import EditError, Item, Program, parse_program, positional

__all__ = ["alike", "same_effect", "survey"]


def survey(
    request: int,
    program: Program,
    recipes: Sequence[Donor],
    nodes: Sequence[Donor],
    seeds: Sequence[str],
    required: Sequence[str],
    components: frozenset[str],
) -> Options:
    """List the edits that a program offers.

    Args:
        request: number of the request, for the answer.
        program: the parent.
        recipes: code blocks of the priors shown; one that does not parse offers nothing.
        nodes: programs of the other nodes shown.
        seeds: programs that the run started from.
        required: names that the task requires.
        components: functions that belong to the task's design, not to one recipe.
    """
    swaps: list[Replaced] = []
    exchanges: list[Replaced] = []
    shared: list[Replaced] = []
    reverts: list[Replaced] = []
    for recipe in recipes:
        for name, other in _offered(program, recipe.code):
            if not alike(program, other, name, components, values=False):
                swaps.append(Replaced(name, recipe.key))
    for node in nodes:
        for name, other in _offered(program, node.code):
            same = alike(program, other, name, components, values=True)
            (shared if same else exchanges).append(Replaced(name, node.key))
    for index, code in enumerate(seeds):
        for name, other in _offered(program, code):
            if not alike(program, other, name, components, values=False):
                reverts.append(Replaced(name, str(index)))
    return Options(
        id=request,
        functions=list(program.functions),
        swaps=swaps,
        exchanges=exchanges,
        reverts=reverts,
        constants=program.constants(required),
        shared=shared,
    )


def _offered(program: Program, code: str) -> list[tuple[str, Program]]:
    """Functions that the code has with the name and the number of positional parameters of one of the program's."""
    try:
        other = parse_program(code)
    except EditError:
        return []
    return [
        (name, other)
        for name, function in other.functions.items()
        if name in program.functions and positional(function) == positional(program.functions[name])
    ]


def alike(program: Program, donor: Program, name: str, components: frozenset[str], *, values: bool) -> bool:
    """Whether a function of the program does what the donor's does: the same text but for the names of helpers.

    Args:
        program: one program.
        donor: another, or a recipe.
        name: the function, of both.
        components: functions that are each program's own business: a call of one is the same in both.
        values: whether the numbers that constants are set to count too.
    """
    pending = [(name, name)]
    matched = {name: name}
    while pending:
        mine, theirs = pending.pop()
        left, right = program.by_name.get(mine, []), donor.by_name.get(theirs, [])
        if len(left) != 1 or len(right) != 1 or left[0].kind != right[0].kind:
            return False
        if not values and program.number(mine) is not None and donor.number(theirs) is not None:
            continue
        (shape, names), (other_shape, other_names) = program.shape(left[0]), donor.shape(right[0])
        if shape != other_shape:
            return False
        for here, there in zip(names, other_names, strict=True):
            if _is_helper(donor, right[0], there, components) and _is_helper(program, left[0], here, components):
                if there not in matched:
                    matched[there] = here
                    pending.append((here, there))
                if matched[there] != here:
                    return False
            elif here != there and (
                there in right[0].locals
                or here in left[0].locals
                or not program.origins(here)
                or program.origins(here) != donor.origins(there)
            ):
                return False
    return True


def _is_helper(program: Program, item: Item, name: str, components: frozenset[str]) -> bool:
    """Whether a name in a statement means something of the program's own that is no component and no import."""
    if name in item.locals or name in components:
        return False
    defined = program.by_name.get(name, [])
    return bool(defined) and all(other.kind != "import" for other in defined)


def same_effect(before: Program, after: Program, required: Sequence[str]) -> bool:
    """Whether all that runs is the same in two programs."""

    def live(program: Program) -> list[tuple[str, tuple[str, ...]]]:
        names = program.closure(program.entries(required))
        return [program.shape(item) for item in program.items if item.kind == "other" or names.intersection(item.names)]

    return live(before) == live(after)
