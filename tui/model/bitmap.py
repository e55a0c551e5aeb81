"""Draw a reported picture in pixels, for terminals that show them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.picture import Picture

__all__ = ["picture_bits"]

Bits = NDArray[np.bool_]

_MOST_DOTS = 400_000
"""The most dots that all circles together are drawn with."""


def picture_bits(picture: Picture, width: int, height: int) -> Bits:
    """Return a picture as pixels, true where there is ink; shape (height, width), both at least 8.

    Points and circles take a square at the left, since lengths are the same in both directions; steps take it all.
    """
    width, height = max(8, width), max(8, height)
    bits = np.zeros((height, width), dtype=np.bool_)
    left, right, low, high = picture.frame
    rows = np.array(picture.rows, dtype=np.float64)
    if picture.kind == "steps":
        _fill_steps(bits, (rows[:, 0] - low) / (high - low), -low / (high - low))
        return bits
    side = min(width, height)
    pen = max(1, side // 150)
    dot = pen if picture.kind == "circles" else 2 * pen + 1
    # Room for the pen on both sides.
    room = side - dot - 1
    x = dot // 2 + (rows[:, 0] - left) / (right - left) * room
    y = dot // 2 + (high - rows[:, 1]) / (high - low) * room
    if picture.kind == "circles":
        x, y = _outlines(x, y, np.abs(rows[:, 2]) / (right - left) * room)
    columns, lines = (np.clip(np.rint(at), 0, side - 1).astype(np.intp) for at in (x, y))
    bits[lines, columns] = True
    return _thicken(bits, dot, is_round=picture.kind == "points")


def _fill_steps(bits: Bits, tops: NDArray[np.float64], zero: float) -> None:
    """Fill each step between its height and 0, both given as parts of the whole height from below."""
    height, width = bits.shape
    tops = tops[np.arange(width) * len(tops) // width]
    ends = np.stack([tops, np.full(width, zero)])
    first = np.rint((1 - ends.max(axis=0)) * (height - 1))
    last = np.rint((1 - ends.min(axis=0)) * (height - 1))
    lines = np.arange(height)[:, None]
    bits |= (lines >= first) & (lines <= last)


def _outlines(
    x: NDArray[np.float64], y: NDArray[np.float64], r: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the dots of circles around (x, y), as near to each other as pixels are."""
    most = max(16, _MOST_DOTS // len(r))
    counts = np.clip(np.ceil(r * 7), 12, most).astype(np.intp)
    which = np.repeat(np.arange(len(r)), counts)
    angles = np.concatenate([np.arange(count) * (math.tau / count) for count in counts])
    return x[which] + r[which] * np.cos(angles), y[which] + r[which] * np.sin(angles)


def _thicken(bits: Bits, dot: int, is_round: bool) -> Bits:
    """Return the pixels drawn with a pen so many pixels wide."""
    thick = np.zeros_like(bits)
    height, width = bits.shape
    half = dot // 2
    for down in range(-half, dot - half):
        for across in range(-half, dot - half):
            if is_round and down * down + across * across > half * half + 1:
                continue
            from_y, from_x, to_y, to_x = max(0, -down), max(0, -across), max(0, down), max(0, across)
            part = bits[from_y : height - to_y, from_x : width - to_x]
            thick[to_y : height - from_y, to_x : width - from_x] |= part
    return thick
