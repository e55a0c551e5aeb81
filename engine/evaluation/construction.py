"""Constructions that evaluators keep beside nodes, for later programs to improve: numbers in lists, nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["decode_construction"]

_DEPTH = 8
"""Lists within lists."""


def decode_construction(text: str) -> Any:
    """Return a construction that an evaluator reported; None if it is none, since an evaluator may report anything.

    Args:
        text: JSON of finite numbers in lists, at most 8 deep.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    level = [found]
    for _ in range(_DEPTH + 1):
        # Integers are finite, and those beyond the range of floats have no answer to `isfinite`.
        if not all(type(item) in (list, int) or (type(item) is float and math.isfinite(item)) for item in level):
            return None
        level = [inner for item in level if type(item) is list for inner in item]
        if not level:
            return found
    return None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no finite number")
