"""Read an answer as exact numbers: its shape and its size are checked before anything is computed with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "Refused",
    "Score",
    "integers",
    "least_float",
    "most_float",
    "number",
    "numbers",
    "rows",
    "scaled",
    "shrunk",
]


class Refused(ValueError):
    """An answer that breaks the rules, and why."""


class Score(NamedTuple):
    """An interval that holds the exact score of an answer; both ends are equal if it is rational."""

    low: Fraction
    high: Fraction
    metrics: Mapping[str, float] = MappingProxyType({})

    def worst(self, direction: str) -> float:
        """Return the end that is worse in this direction, rounded to the worse side: never better than the truth."""
        return most_float(self.low) if direction == "maximize" else least_float(self.high)


def number(value: Any, where: str) -> float:
    """Return a finite number as a float; refuse texts, booleans, complex numbers and subclasses of numbers."""
    if type(value) not in (int, float):
        raise Refused(f"{where} holds a {type(value).__name__}, not numbers only")
    try:
        found = float(value)
    except OverflowError:
        raise Refused(f"{where} holds a number beyond all bounds") from None
    if not math.isfinite(found):
        raise Refused(f"{where} holds {found}")
    return found


def numbers(value: Any, least: int, most: int, where: str) -> list[float]:
    """Return a list of `least` to `most` finite numbers, from a list or an array.

    Raises:
        Refused: it is none.
    """
    return [number(item, where) for item in _listed(value, least, most, where)]


def rows(value: Any, count: int, width: int, where: str) -> list[list[float]]:
    """Return `count` rows of `width` finite numbers, from lists or an array.

    Raises:
        Refused: it has another shape, or what it holds are not numbers.
    """
    return [numbers(row, width, width, where) for row in _listed(value, count, count, where)]


def integers(value: Any, least: int, most: int, largest: int, where: str) -> list[int]:
    """Return a list of `least` to `most` integers from 0 to `largest`, exactly as they are.

    Raises:
        Refused: it is none.
    """
    found = _listed(value, least, most, where)
    for item in found:
        if type(item) is not int:
            raise Refused(f"{where} holds a {type(item).__name__}, not integers only")
        if not 0 <= item <= largest:
            raise Refused(f"{where} holds an integer outside of 0 to {largest}")
    return found


def _listed(value: Any, least: int, most: int, where: str) -> list[Any]:
    if type(value).__name__ == "ndarray":
        value = value.tolist()
    if type(value) not in (list, tuple):
        raise Refused(f"{where} must be a list, not a {type(value).__name__}")
    if not least <= len(value) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise Refused(f"{where} has {len(value)} entries, not {wanted}")
    return list(value)


def scaled(values: list[float]) -> list[int]:
    """Return integers in the very proportions of some floats: each is the same power of two times its float."""
    ratios = [value.as_integer_ratio() for value in values]
    common = max(below for _, below in ratios)  # powers of two: the largest is a multiple of all
    return [above * (common // below) for above, below in ratios]


def shrunk(rows: list[Any]) -> list[list[float]]:
    """Return rows of numbers, all divided by the largest of them in size, so that they can be drawn."""
    most = max(abs(float(value)) for row in rows for value in row) or 1.0
    return [[float(value) / most for value in row] for row in rows]


def most_float(value: Fraction) -> float:
    """Return the largest float that is not above a fraction."""
    found = float(value)
    return found if Fraction(found) <= value else math.nextafter(found, -math.inf)


def least_float(value: Fraction) -> float:
    """Return the smallest float that is not below a fraction."""
    found = float(value)
    return found if Fraction(found) >= value else math.nextafter(found, math.inf)
