"""Draw a reported picture in braille dots, in lines that know what they are of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.evaluation.picture import Picture
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas
from tui.model.document import Span

__all__ = ["Drawing", "PictureLine", "Rgb", "picture_lines", "picture_rows"]

Rgb = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

_WIDEST = 60
_TALLEST = 15


@dataclass(frozen=True)
class Drawing:
    """A picture and the cells that it takes; two are the same if key and cells are."""

    key: str
    """The hash of the picture."""
    columns: int
    rows: int
    picture: Picture = field(compare=False)


class PictureLine(tuple[Span, ...]):
    """One row of a picture in dots; a terminal that shows pictures may show the same part of it in pixels."""

    drawing: Drawing
    row: int


def picture_lines(picture: Picture, key: str, width: int) -> list[PictureLine]:
    """Return a picture as lines of a document.

    Args:
        picture: the picture.
        key: its hash.
        width: cells across, at most.
    """
    drawing = Drawing(key, *_size(picture, width), picture)
    lines = []
    for row, text in enumerate(picture_rows(picture, width)):
        line = PictureLine((Span(text),))
        line.drawing, line.row = drawing, row
        lines.append(line)
    return lines


def _size(picture: Picture, width: int) -> tuple[int, int]:
    """Return how many cells a picture takes across and down."""
    columns = max(8, min(_WIDEST, width))
    rows = min(_TALLEST, max(4, columns // 2))
    if picture.kind != "steps":
        # A cell is twice as high as it is wide, as its dots are: two by four.
        columns = min(columns, rows * 2)
    return columns, rows


def picture_rows(picture: Picture, width: int) -> list[str]:
    """Return the rows of a picture that is at most so many cells wide."""
    columns, rows = _size(picture, width)
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
