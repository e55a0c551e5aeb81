"""Move a tunable value: list its directions, and take a step."""

from __future__ import annotations

import math
import random

from engine.designers.recombine.comments import same_value
from engine.designers.recombine.messages import Tunable, Value

__all__ = ["directions", "move", "reach"]

_FEW = 64
"""The most whole numbers in reach that are listed one by one."""


def directions(tunable: Tunable) -> list[str]:
    """List a value's directions: up and down within its bounds, to its negation, to each other choice."""
    match tunable.kind:
        case "flip":
            return ["flip"]
        case "choice":
            others = [c for c in tunable.choices if not same_value(c, tunable.value)]
            return [f"={_shown(choice)}" for choice in others]
    return [way for way in ("up", "down") if _extreme(tunable, way) != _number(tunable)]


def move(tunable: Tunable, direction: str, rng: random.Random, step: float) -> Value:
    """Return the next value in a direction.

    Args:
        tunable: the value.
        direction: one of its directions.
        rng: random number generator.
        step: the step size of a `scale`, as a natural logarithm.
    """
    if tunable.kind == "flip":
        return not tunable.value
    if tunable.kind == "choice":
        return next(choice for choice in tunable.choices if f"={_shown(choice)}" == direction)
    value = _number(tunable)
    up = direction == "up"
    size = step * (0.1 + abs(rng.gauss(0, 1))) if tunable.kind == "scale" else 0.0
    if tunable.low < 0:
        # A value whose range includes 0 moves by shares of the range.
        moved = value + (1 if up else -1) * size * (tunable.high - tunable.low) / 4
        return _fitted(min(max(moved, tunable.low), tunable.high), value, up, tunable.low, tunable.high)
    factor = {"effort": 2.0, "tolerance": 10.0}.get(tunable.kind) or math.exp(min(math.log(10), size))
    length = abs(value) or (tunable.low or tunable.high / 100) / factor
    length = length * factor if up else length / factor
    length = min(max(length, tunable.low), tunable.high)
    fitted = _fitted(length, abs(value), up, tunable.low, tunable.high)
    return -fitted if value < 0 else fitted


def reach(tunable: Tunable, direction: str) -> list[Value] | None:
    """Return all values that a step in a direction may give; None if they are too many to list."""
    value = tunable.value
    if tunable.kind != "scale":
        return [move(tunable, direction, random.Random(0), 0.0)]
    if not isinstance(value, int):
        return None
    nearest = math.ceil(tunable.low), math.floor(tunable.high)
    if tunable.low < 0:
        found = range(value + 1, nearest[1] + 1) if direction == "up" else range(nearest[0], value)
    elif direction == "up":
        found = range(max(abs(value) + 1, nearest[0]), nearest[1] + 1)
    else:
        found = range(nearest[0], min(abs(value), nearest[1] + 1))
    if len(found) > _FEW:
        return None
    return [-number if value < 0 and tunable.low >= 0 else number for number in found]


def _number(tunable: Tunable) -> int | float:
    assert isinstance(tunable.value, int | float)
    return tunable.value


def _extreme(tunable: Tunable, direction: str) -> float:
    """Return the farthest value in a direction; the value itself if it is at its bound or beyond."""
    value = _number(tunable)
    whole = isinstance(value, int)
    low, high = (math.ceil(tunable.low), math.floor(tunable.high)) if whole else (tunable.low, tunable.high)
    if tunable.low < 0:
        return max(high, value) if direction == "up" else min(low, value)
    size = abs(value)
    return math.copysign(max(high, size) if direction == "up" else min(low, size), value)


def _fitted(moved: float, value: int | float, up: bool, low: float, high: float) -> int | float:
    """Return a number of the value's type, with few digits, within the bounds and different from the value."""
    if isinstance(value, int):
        whole = round(moved)
        if whole == value:
            whole += 1 if up else -1
        return min(max(whole, math.ceil(low)), math.floor(high))
    for digits in (4, 5, 6, 17):
        short = min(max(float(f"{moved:.{digits}g}"), low), high)
        if short != value:
            return short
    return short


def _shown(choice: Value) -> str:
    return str(choice).replace("/", "|")
