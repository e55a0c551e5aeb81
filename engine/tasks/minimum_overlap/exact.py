"""The largest overlap of a step function with its complement, over all shifts, in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from answers import Refused, Score, numbers, scaled
from convolve import correlate

METRIC = "overlap"
FUNCTION = "construct_function"
"""What constructs an answer."""
STEPS = 1024
"""Most steps of a function."""


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    return []


def direction_of(settings: dict[str, Any]) -> str:
    """Return that less overlap is better."""
    return "minimize"


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the function."""
    return "steps", list(answer)


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the largest overlap, exactly, after the heights are rescaled so that their mean is 1/2.

    Raises:
        Refused: the answer is no such function, before or after it is rescaled.
    """
    heights = numbers(answer, 1, STEPS, "heights")
    if min(heights) < 0 or max(heights) > 1:
        raise Refused("heights holds a number outside of 0 to 1")
    if not any(heights):
        raise Refused("heights holds zeros only")
    steps, count = scaled(heights), len(heights)
    total = sum(steps)
    # A rescaled height is count · step / (2 total): it must not be above 1.
    if count * max(steps) > 2 * total:
        raise Refused("heights rescaled to a mean of 1/2 are above 1: raise the lower ones")
    above = [count * step for step in steps]
    below = [2 * total - step for step in above]
    largest = max(correlate(above, below))
    overlap = Fraction(2 * largest, count * (2 * total) ** 2)
    return Score(overlap, overlap, {"steps": float(count)})
