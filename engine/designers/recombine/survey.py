"""List the possible changes of a program: functions with alternatives, and tunable values."""

from __future__ import annotations

from collections.abc import Sequence

from engine.designers.recombine.likeness import alike, matched
from engine.designers.recombine.messages import Donor, Options, Replaced
from engine.designers.recombine.program import EditError, Program, parse_program, positional
from engine.designers.recombine.tune import tunables

__all__ = ["survey"]

_TUNABLES = 1000
"""The most literals in one survey."""


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
        request: number of the request, repeated in the answer.
        program: the parent.
        recipes: code blocks of the request's priors; one that does not parse is ignored.
        nodes: programs of the other nodes of the request.
        seeds: programs that the run started from.
        required: names that the task requires.
        components: functions that belong to the task's design, not to one recipe.
    """
    swaps: list[Replaced] = []
    exchanges: list[Replaced] = []
    crossings: list[Replaced] = []
    shared: list[Replaced] = []
    reverts: list[Replaced] = []
    for recipe in recipes:
        for name, other in _offered(program, recipe.code):
            if not alike(program, other, name, components, values=False):
                swaps.append(Replaced(name, recipe.key))
    live = program.live(required)
    for node in nodes:
        for name, other in _offered(program, node.code):
            if alike(program, other, name, components, values=True):
                shared.append(Replaced(name, node.key))
            elif matched(program, other, name, components, outside="tunables", inside="tunables") is None:
                exchanges.append(Replaced(name, node.key))
            elif name in live:
                crossings.append(Replaced(name, node.key))
    for index, code in enumerate(seeds):
        for name, other in _offered(program, code):
            if not alike(program, other, name, components, values=False):
                reverts.append(Replaced(name, str(index)))
    return Options(
        id=request,
        functions=list(program.functions),
        swaps=swaps,
        exchanges=exchanges,
        crossings=crossings,
        reverts=reverts,
        tunables=tunables(program, required)[:_TUNABLES],
        shared=shared,
    )


def _offered(program: Program, code: str) -> list[tuple[str, Program]]:
    """Return the code's functions that match one of the program's in name and number of positional parameters."""
    try:
        other = parse_program(code)
    except EditError:
        return []
    return [
        (name, other)
        for name, function in other.functions.items()
        if name in program.functions and positional(function) == positional(program.functions[name])
    ]
