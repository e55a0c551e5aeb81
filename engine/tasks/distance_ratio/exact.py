"""The squared ratio of the largest to the smallest distance between points, in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

from answers import Refused, Score, rows, scaled, shrunk

METRIC = "squared_ratio"
FUNCTION = "construct_points"
"""What constructs an answer."""
LARGEST = 10**300
"""Largest squared ratio: floats go little further."""


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    return [int(settings["points"]), int(settings["dimensions"])]


def direction_of(settings: dict[str, Any]) -> str:
    """Return that a lower ratio is better."""
    return "minimize"


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the first two coordinates of the points."""
    return "points", [row[:2] for row in shrunk(answer)]


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the squared ratio, exactly.

    Raises:
        Refused: the answer is no such set of points, two of them are the same, or the ratio is more than a float holds.
    """
    count, width = int(settings["points"]), int(settings["dimensions"])
    flat = scaled([value for row in rows(answer, count, width, "points") for value in row])
    places = [flat[k : k + width] for k in range(0, len(flat), width)]
    squares = [sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for a, b in combinations(places, 2)]
    smallest, largest = min(squares), max(squares)
    if not smallest:
        raise Refused("points holds the same point twice")
    ratio = Fraction(largest, smallest)
    if ratio > LARGEST:
        raise Refused("points holds two points that are nearly the same beside the others")
    near = sum(square * 1_000_000 <= smallest * 1_000_001 for square in squares)
    far = sum(square * 1_000_001 >= largest * 1_000_000 for square in squares)
    return Score(ratio, ratio, {"shortest": float(near), "longest": float(far)})
