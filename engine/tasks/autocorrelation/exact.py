"""Two inequalities on the autoconvolution of a step function, in exact fractions.

The first asks how small its peak can be beside the function's integral, the second how close its norms come to
equality in Hölder's inequality.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from answers import Refused, Score, numbers, scaled, shrunk
from convolve import convolve

METRIC = "constant"
FUNCTION = "construct_function"
"""What constructs an answer."""
DIRECTIONS = {"first": "minimize", "second": "maximize"}
"""Of the two inequalities; task.toml must say the same."""
STEPS = 1024
"""Most steps of a function."""


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    return [settings["inequality"]]


def direction_of(settings: dict[str, Any]) -> str:
    """Return whether a lower or a higher constant is better."""
    return DIRECTIONS[settings["inequality"]]


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the function."""
    return "steps", shrunk([answer])[0]


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the constant that a step function shows, exactly.

    Raises:
        Refused: the answer is no such function.
    """
    heights = numbers(answer, 1, STEPS, "heights")
    if min(heights) < 0:
        raise Refused("heights holds a negative number")
    if not any(heights):
        raise Refused("heights holds zeros only")
    steps = scaled(heights)
    peaks = convolve(steps, steps)
    constant = _first(steps, peaks) if settings["inequality"] == "first" else _second(peaks)
    return Score(constant, constant, {"steps": float(len(steps))})


def _first(steps: list[int], peaks: list[int]) -> Fraction:
    """Return 2 n times the largest of f∗f over the square of the sum of f."""
    return Fraction(2 * len(steps) * max(peaks), sum(steps) ** 2)


def _second(peaks: list[int]) -> Fraction:
    """Return the squared norm of the broken line through [0, f∗f, 0] over its integral times its peak."""
    line = [0, *peaks, 0]
    square = sum(a * a + a * b + b * b for a, b in pairwise(line))
    return Fraction(square, 3 * sum(line) * max(line))
