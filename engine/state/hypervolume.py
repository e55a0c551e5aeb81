"""Hypervolume: the volume that points dominate above the origin, for two or three objectives, exactly.

What a point adds is its own box without what the others cover of it, the exclusive hypervolume of While, Bradstreet and
Barone, "A Fast Way of Calculating Exact Hypervolumes" (2012). So the volume of a growing set is kept by sums. What the
others cover is swept: by x for two objectives, by z over a staircase in x and y for three (Beume, Fonseca,
López-Ibáñez, Paquete and Vahrenhold, "On the Complexity of Computing the Hypervolume Indicator", 2009).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import lt

__all__ = ["Point", "added_volume", "dominates"]

Point = tuple[float, ...]
"""One coordinate an objective, higher is better; the reference point is the origin."""


def dominates(one: Point, other: Point) -> bool:
    """Return whether a point is nowhere below another one, and somewhere above it."""
    # By map, since this is asked of hundreds of points for each node that comes.
    return one != other and not any(map(lt, one, other))


def added_volume(point: Point, others: Iterable[Point]) -> float:
    """Return by how much a point raises the hypervolume of others; 0 if it is not above the reference point everywhere.

    Args:
        point: two or three coordinates.
        others: points with as many.
    """
    if min(point) <= 0.0:
        return 0.0
    covered = [tuple(map(min, point, other)) for other in others]
    covered = [corner for corner in covered if min(corner) > 0.0]
    if point in covered:
        return 0.0
    return max(0.0, math.prod(point) - (_area(covered) if len(point) == 2 else _volume(covered)))


def _area(points: Sequence[Point]) -> float:
    stairs = _Stairs()
    return sum(stairs.add(x, y) for x, y in points)


def _volume(points: Sequence[Point]) -> float:
    """Return the volume of a union of boxes from the origin: slices from the top down."""
    stairs, volume, area, above = _Stairs(), 0.0, 0.0, 0.0
    for x, y, z in sorted(points, key=lambda point: -point[2]):
        volume += area * (above - z)
        area += stairs.add(x, y)
        above = z
    return volume + area * above


class _Stairs:
    """The upper right edge of a union of rectangles from the origin."""

    def __init__(self) -> None:
        self._xs: list[float] = []
        """Ascending."""
        self._ys: list[float] = []
        """Descending: the height up to each x."""

    def add(self, x: float, y: float) -> float:
        """Add the rectangle up to a corner; return the area that is new."""
        xs, ys = self._xs, self._ys
        end = bisect_left(xs, x)
        if end < len(xs) and ys[end] >= y:
            return 0.0
        first = end
        while first > 0 and ys[first - 1] <= y:
            first -= 1
        area, left = 0.0, xs[first - 1] if first else 0.0
        for step in range(first, end):
            area += (xs[step] - left) * (y - ys[step])
            left = xs[step]
        area += (x - left) * (y - (ys[end] if end < len(xs) else 0.0))
        beyond = end + (end < len(xs) and xs[end] == x)
        xs[first:beyond], ys[first:beyond] = [x], [y]
        return area
