"""List the possible changes of a program: functions with alternatives, and tunable values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.designers.recombine.likeness import alike, matched
from engine.designers.recombine.messages import Donor, Options, Replaced, Tunable
from engine.designers.recombine.parted import Parted
from engine.designers.recombine.program import EditError

__all__ = ["survey"]

P = TypeVar("P", bound=Parted)

_TUNABLES = 1000
"""The most literals in one survey."""


def survey(
    request: int,
    program: P,
    read: Callable[[str], P],
    tunables: Callable[[P, Sequence[str]], list[Tunable]],
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
        read: takes a donor's program apart.
        tunables: lists the values of a program that can be tuned.
        recipes: code blocks of the request's priors; one that does not parse is ignored.
        nodes: programs of the other nodes of the request.
        seeds: programs that the run started from.
        required: names that the task requires.
        components: functions that belong to the task's design, not to one recipe.
    """

    def offered(code: str) -> list[tuple[str, P]]:
        """Return the code's functions that match one of the program's in name and number of parameters."""
        try:
            other = read(code)
        except EditError:
            return []
        known = program.parameters
        return [(name, other) for name, count in other.parameters.items() if known.get(name) == count]

    swaps, reverts = [
        [
            Replaced(name, donor.key)
            for donor in donors
            for name, other in offered(donor.code)
            if not alike(program, other, name, components, values=False)
        ]
        for donors in (recipes, [Donor(str(index), code) for index, code in enumerate(seeds)])
    ]
    exchanges: list[Replaced] = []
    crossings: list[Replaced] = []
    shared: list[Replaced] = []
    live = program.live(required)
    for node in nodes:
        for name, other in offered(node.code):
            if alike(program, other, name, components, values=True):
                shared.append(Replaced(name, node.key))
            elif matched(program, other, name, components, outside="tunables", inside="tunables") is None:
                exchanges.append(Replaced(name, node.key))
            elif name in live:
                crossings.append(Replaced(name, node.key))
    return Options(
        id=request,
        functions=list(program.parameters),
        swaps=swaps,
        exchanges=exchanges,
        crossings=crossings,
        reverts=reverts,
        tunables=tunables(program, required)[:_TUNABLES],
        shared=shared,
    )
