"""Crossover of numbers: give some numbers of a function the values that they have in another program."""

from __future__ import annotations

import random

from engine.designers.recombine.comments import Rule, same_value
from engine.designers.recombine.likeness import matched
from engine.designers.recombine.messages import Value
from engine.designers.recombine.parted import Parted
from engine.designers.recombine.program import EditError
from engine.designers.recombine.tunable import tunables_of

__all__ = ["take_values"]


def take_values(program: Parted, donor: Parted, function: str, components: frozenset[str], seed: int) -> str:
    """Return the source with some of the donor's values in a function and in the constants and lists that it reads.

    This is a uniform crossover: each differing value is taken with probability one half, at least one (Syswerda,
    "Uniform crossover in genetic algorithms", 1989).

    Args:
        program: the program to edit.
        donor: a program with the same function except for its numbers.
        function: a top-level function of both.
        components: functions that may differ between the programs.
        seed: seed of the choice of values.

    Raises:
        EditError: the functions differ in more than numbers, or in nothing.
    """
    pairs = matched(program, donor, function, components, outside="tunables", inside="tunables")
    if pairs is None:
        raise EditError(f"{function} is another one in the donor")
    found: list[tuple[int, int, Value]] = []
    for mine, theirs in pairs:
        literals, others = program.literals[mine.index], donor.literals[theirs.index]
        for left, right in zip(tunables_of(program, mine), tunables_of(donor, theirs), strict=False):
            old, value = literals[left.index].value, others[right.index].value
            rule = program.rules.of.get((mine.index, left.index))
            if type(old) is type(value) and not same_value(old, value) and _allowed(rule, value):
                found.append((mine.index, left.index, value))
    if not found:
        raise EditError(f"no number of {function} differs that could be taken")
    rng = random.Random(seed)
    taken = [change for change in found if rng.random() < 0.5]
    return program.with_values(taken or [rng.choice(found)])


def _allowed(rule: object, value: Value) -> bool:
    """Tell whether the program's own comment allows a value."""
    return not isinstance(rule, Rule) or rule.allows(value)
