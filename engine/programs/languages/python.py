"""Python."""

from __future__ import annotations

from engine.programs.languages.base import Language

__all__ = ["LANGUAGE"]

_DISTANCE = """\
import math


def distance(x, y):
    return math.sqrt(x * x + y * y)
"""
_CENTRE = """\
import statistics


def centre(values):
    return statistics.median(values)
"""

LANGUAGE = Language(
    name="python",
    title="Python",
    suffix=".py",
    comment="#",
    fence="python",
    fences=("py", "python", "python3"),
    lexer="python",
    example=(_DISTANCE, _CENTRE),
)
