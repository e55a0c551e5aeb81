"""Pictures of results, as evaluators report them: points, circles or the steps of a function."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import msgspec

__all__ = ["Picture", "decode_picture"]

_ROW = {"points": 2, "circles": 3}
_MOST_NUMBERS = 4096
"""What an evaluator may report; a journal from elsewhere may hold more, which would take minutes to draw."""


class Picture(NamedTuple):
    """What to draw."""

    kind: Literal["points", "circles", "steps"]
    """`points`: x and y each; `circles`: x, y and radius each; `steps`: one height each."""
    rows: list[list[float]]

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The least and the largest x, and the least and the largest y, that the picture shows."""
        if self.kind == "steps":
            heights = [row[0] for row in self.rows]
            return 0.0, float(len(heights)), min(0.0, *heights), max(0.0, *heights) or 1.0
        reach = [row[2] if self.kind == "circles" else 0.0 for row in self.rows]
        xs = [x for row, r in zip(self.rows, reach, strict=True) for x in (row[0] - r, row[0] + r)]
        ys = [y for row, r in zip(self.rows, reach, strict=True) for y in (row[1] - r, row[1] + r)]
        # Lengths are the same in both directions: the frame is a square around the middle.
        half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2 or 1.0
        x, y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
        # Far from 0 a length of 1 is lost: the sides of the frame must differ.
        half = max(half, 1e-12 * max(abs(x), abs(y)))
        return x - half, x + half, y - half, y + half


class _Reported(msgspec.Struct):
    kind: Literal["points", "circles", "steps"]
    data: list[list[float] | float]


def decode_picture(raw: bytes) -> Picture | None:
    """Return a reported picture; None if it cannot be drawn, since an evaluator may report anything."""
    try:
        found = msgspec.json.decode(raw, type=_Reported)
    except (msgspec.DecodeError, RecursionError):
        return None
    width = _ROW.get(found.kind, 1)
    if len(found.data) * width > _MOST_NUMBERS:
        return None
    rows = [row if isinstance(row, list) else [row] for row in found.data]
    sound = all(len(row) == width and all(math.isfinite(x) and abs(x) < 1e150 for x in row) for row in rows)
    return Picture(found.kind, rows) if rows and sound else None
