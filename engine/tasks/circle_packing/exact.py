"""The sum of the radii of circles in the unit square, after they are shrunk until nothing overlaps, in exact fractions.

Centers are taken as they are. Radii become multiples of 2^-80, rounded down, and distances are rounded down to such
multiples, so that what is left fits without any tolerance, and everyone who shrinks them gets the same sum.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

from answers import Refused, Score, numbers, rows

METRIC = "sum_radii"
FUNCTION = "construct_packing"
"""What constructs an answer."""
USUAL = 26
"""Circles that the function is asked for without an argument, as in other collections of this problem."""
BITS = 80
"""Binary digits after the point of a shrunk radius."""
GAP = 1e-5
"""Largest gap at which circles and walls are said to touch."""

Pair = list[Fraction]


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    count = int(settings["circles"])
    return [] if count == USUAL else [count]


def direction_of(settings: dict[str, Any]) -> str:
    """Return that a larger sum is better."""
    return "maximize"


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the circles."""
    centers, radii = read(answer, settings)
    return "circles", [[*center, radius] for center, radius in zip(centers, radii, strict=True)]


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the sum of the shrunk radii, exactly.

    Raises:
        Refused: the answer is no such packing, or circles overlap or stick out by more than the tolerance.
    """
    centers, radii = read(answer, settings)
    places = [[Fraction(x), Fraction(y)] for x, y in centers]
    check(places, [Fraction(radius) for radius in radii], Fraction(settings["tolerance"]))
    strict = shrink(places, radii)
    total = Fraction(sum(strict), 1 << BITS)
    return Score(
        total,
        total,
        {
            "sum_returned": sum(radii),
            "min_radius": min(strict) / (1 << BITS),
            "max_radius": max(strict) / (1 << BITS),
            "contacts": float(_count_contacts(places, strict)),
        },
    )


def read(answer: Any, settings: dict[str, Any]) -> tuple[list[list[float]], list[float]]:
    """Return centers and radii; a third value after the two, such as the sum, is ignored.

    Raises:
        Refused: they have another shape, or hold what are no numbers.
    """
    count = int(settings["circles"])
    if type(answer) not in (list, tuple) or len(answer) not in (2, 3):
        raise Refused(f"{FUNCTION}() must return (centers, radii)")
    return rows(answer[0], count, 2, "centers"), numbers(answer[1], count, count, "radii")


def check(places: list[Pair], radii: list[Fraction], tolerance: Fraction) -> None:
    """Refuse circles that overlap or stick out by more than the tolerance: a mistake, and not a matter of rounding."""
    for i, ((x, y), r) in enumerate(zip(places, radii, strict=True)):
        if r < 0:
            raise Refused(f"circle {i} has the negative radius {float(r):.6g}")
        outside = max(r - x, x + r - 1, r - y, y + r - 1)
        if outside > tolerance:
            raise Refused(f"circle {i} sticks out of the square by {float(outside):.3g}")
    for i, place in enumerate(places):
        for j in range(i):
            overlap = radii[i] + radii[j] - Fraction(_distance(place, places[j]), 1 << BITS)
            if overlap > tolerance:
                raise Refused(f"circles {j} and {i} overlap by {float(overlap):.3g}")


def shrink(places: list[Pair], radii: list[float]) -> list[int]:
    """Return radii times 2^80, none larger than before, with which nothing overlaps at all."""
    strict = [
        max(0, min(map(_units, (Fraction(r), x, 1 - x, y, 1 - y)))) for (x, y), r in zip(places, radii, strict=True)
    ]
    for i, place in enumerate(places):
        for j in range(i):
            excess = strict[i] + strict[j] - _distance(place, places[j])
            if excess > 0:
                # Take half of it from each circle, as far as the smaller radius allows.
                second = min(strict[j], max(excess // 2, excess - strict[i]))
                strict[j] -= second
                strict[i] -= excess - second
    return strict


def _units(value: Fraction) -> int:
    """Return how many times 2^-80 fits into a fraction."""
    return (value.numerator << BITS) // value.denominator


def _distance(a: Pair, b: Pair) -> int:
    """Return how many times 2^-80 fits into the distance of two places."""
    square = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    return isqrt((square.numerator << 2 * BITS) // square.denominator)


def _count_contacts(places: list[Pair], strict: list[int]) -> int:
    """Count contacts between circles and with walls: a rigid packing has about as many as it has unknowns."""
    gap = _units(Fraction(GAP))
    pairs = sum(
        _distance(places[i], places[j]) - strict[i] - strict[j] < gap for i in range(len(strict)) for j in range(i)
    )
    walls = sum(
        _units(side) - r < gap for (x, y), r in zip(places, strict, strict=True) for side in (x, 1 - x, y, 1 - y)
    )
    return pairs + walls
