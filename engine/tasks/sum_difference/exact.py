"""The exponent that a set shows by its sums and differences: sizes as integers, the logarithms as an interval."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from answers import Refused, Score, integers
from logarithm import logarithm

METRIC = "exponent"
FUNCTION = "construct_set"
"""What constructs an answer."""
LARGEST = 2**60
"""Largest element: all sums are exact in 64 bits."""
DRAWN = 4096
"""Most numbers of a picture."""


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    return [int(settings["elements"])]


def direction_of(settings: dict[str, Any]) -> str:
    """Return that a larger exponent is better."""
    return "maximize"


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the logarithms of the elements, of a large set of some."""
    return "steps", [math.log2(1 + element) for element in sorted(answer)[:: -(-len(answer) // DRAWN)]]


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return an interval that holds 1 + ln(|U − U| / |U + U|) / ln(2 max U + 1).

    Raises:
        Refused: the answer is no such set.
    """
    elements = integers(answer, 2, int(settings["elements"]), LARGEST, "elements")
    if len(set(elements)) < len(elements):
        raise Refused("elements holds the same number twice")
    if 0 not in elements:
        raise Refused("elements lacks 0")
    array = np.array(sorted(elements), dtype=np.int64)
    i, j = np.triu_indices(len(array))
    sums = _count(array[i] + array[j])
    # Those above zero occur below zero, too.
    differences = 2 * _count(array[j] - array[i]) - 1
    reach = 2 * max(elements) + 1
    if differences >= reach:
        raise Refused(f"elements has {differences} differences, all there can be: fewer than {reach} are wanted")
    above, below = logarithm(Fraction(differences, sums)), logarithm(Fraction(reach))
    ends = [1 + a / b for a in above for b in below]
    return Score(
        min(ends), max(ends), {"size": float(len(elements)), "sums": float(sums), "differences": float(differences)}
    )


def _count(numbers: np.ndarray) -> int:
    """Return how many different numbers there are; sorting is faster than hashing here."""
    return 1 + int(np.count_nonzero(np.diff(np.sort(numbers))))
