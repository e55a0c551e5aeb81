"""Draw a reported picture in braille dots."""

from __future__ import annotations

import math

from engine.evaluation.picture import Picture
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas

__all__ = ["picture_rows"]

_WIDEST = 60
_TALLEST = 15


def picture_rows(picture: Picture, width: int) -> list[str]:
    """Return the rows of a picture that is at most so many cells wide."""
    columns = max(8, min(_WIDEST, width))
    rows = min(_TALLEST, max(4, columns // 2))
    if picture.kind != "steps":
        # A cell is twice as high as it is wide, as its dots are: two by four.
        columns = min(columns, rows * 2)
    canvas = Canvas(columns, rows)
    across, down = columns * DOT_COLUMNS - 1, rows * DOT_ROWS - 1
    left, right, low, high = picture.frame

    def x(value: float) -> int:
        return round((value - left) / (right - left) * across)

    def y(value: float) -> int:
        return down - round((value - low) / (high - low) * down)

    if picture.kind == "steps":
        for column in range(across + 1):
            step = min(len(picture.rows) - 1, int(column / (across + 1) * len(picture.rows)))
            ends = sorted((y(picture.rows[step][0]), y(0.0)))
            canvas.column(column, *ends)
    for row in picture.rows if picture.kind != "steps" else ():
        if picture.kind == "points":
            for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
                canvas.dot(x(row[0]) + dx, y(row[1]) + dy)
            continue
        for turn in range(96):
            angle = turn * math.tau / 96
            canvas.dot(x(row[0] + row[2] * math.cos(angle)), y(row[1] + row[2] * math.sin(angle)))
    return [canvas.text(row).rstrip() for row in range(rows)]
