"""The smallest triangle of a set of points, as a share of the region that holds them, in exact fractions.

In a triangle, a point is three weights of the corners, so that no point lies outside: the share does not depend on the
triangle's shape. In the convex case the region is the hull of the points.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

from answers import Refused, Score, rows, scaled, shrunk

METRIC = "smallest_share"
FUNCTION = "construct_points"
"""What constructs an answer."""


def arguments(settings: dict[str, Any]) -> list[Any]:
    """Return what the function is called with."""
    return [int(settings["points"]), settings["region"]]


def direction_of(settings: dict[str, Any]) -> str:
    """Return that a larger share is better."""
    return "maximize"


def drawn(answer: Any, settings: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a picture of an answer that `measure` accepts: the points as they lie in their region."""
    if settings["region"] != "triangle":
        return "points", shrunk(answer)
    # The corners of a triangle whose sides are equal.
    places = []
    for a, b, c in (shrunk([row])[0] for row in answer):
        total = a + b + c
        places.append([(b + c / 2) / total, 0.75**0.5 * c / total])
    return "points", places


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the share of the smallest triangle, exactly.

    Raises:
        Refused: the answer is no such set of points.
    """
    count, region = int(settings["points"]), settings["region"]
    if region == "triangle":
        share, hull = _in_triangle(rows(answer, count, 3, "points"))
    else:
        share, hull = _in_hull(rows(answer, count, 2, "points"))
    return Score(share, share, {"on_hull": float(hull)})


def _in_triangle(points: list[list[float]]) -> tuple[Fraction, int]:
    weights = []
    for point in points:
        if min(point) < 0:
            raise Refused("points holds a negative weight")
        if not any(point):
            raise Refused("points holds a point without any weight")
        weights.append(scaled(point))
    sums = [sum(row) for row in weights]
    smallest = min(
        Fraction(abs(_determinant(weights[i], weights[j], weights[k])), sums[i] * sums[j] * sums[k])
        for i, j, k in combinations(range(len(points)), 3)
    )
    places = [(Fraction(row[0], total), Fraction(row[1], total)) for row, total in zip(weights, sums, strict=True)]
    return smallest, len(hull_of(places))


def _in_hull(points: list[list[float]]) -> tuple[Fraction, int]:
    flat = scaled([value for point in points for value in point])
    places = list(zip(flat[::2], flat[1::2], strict=True))
    hull = hull_of(places)
    area = sum(_cross(hull[0], hull[k], hull[k + 1]) for k in range(1, len(hull) - 1))
    if not area:
        raise Refused("points lie on one line")
    smallest = min(abs(_cross(a, b, c)) for a, b, c in combinations(places, 3))
    return Fraction(smallest, area), len(hull)


def _cross(a: tuple[Any, Any], b: tuple[Any, Any], c: tuple[Any, Any]) -> Any:
    """Return twice the area of a triangle, negative if it turns to the right."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _determinant(a: list[int], b: list[int], c: list[int]) -> int:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])


def hull_of(places: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the corners of the convex hull, counterclockwise."""
    ordered = sorted(set(places))
    halves = []
    for run in (ordered, ordered[::-1]):
        half: list[tuple[Any, Any]] = []
        for place in run:
            while len(half) > 1 and _cross(half[-2], half[-1], place) <= 0:
                half.pop()
            half.append(place)
        halves.append(half[:-1])
    return halves[0] + halves[1]
