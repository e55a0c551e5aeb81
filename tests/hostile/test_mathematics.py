"""Cheats on the open problems: whatever a program returns, it is refused or scores what its answer is worth exactly."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.tasks.mathematics import certified, construct, real_folder, task

CORNERS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
SPREAD = [[1.0 + k, 1.0 + (k * k) % 7, 1.0 + (k * k * k) % 11] for k in range(11)]
"""11 points in a triangle, of which no three are on a line."""
GRID = ([[(k % 6 + 0.5) / 6, (k // 6 + 0.5) / 6] for k in range(26)], [1 / 12] * 26)
"""Equal circles in a grid."""
PLANE = [[math.cos(k), math.sin(k)] for k in range(16)]


class Flattering(float):
    """A float that compares as if it were larger than all others."""

    def __lt__(self, other: object) -> bool:
        return False

    def as_integer_ratio(self) -> tuple[int, int]:
        return (10**9, 1)


class Growing(list[Any]):
    """A list that says it is as long as is wanted."""

    def __len__(self) -> int:
        return 11


def changed(points: list[list[float]], row: int, column: int, value: Any) -> Any:
    """Return points with another number at one place."""
    found: list[list[Any]] = [list(point) for point in points]
    found[row][column] = value
    return found


REFUSED: dict[str, tuple[str, Any, str]] = {
    # what a program reports beside its answer is no part of it
    "heilbronn: a score beside the points": ("heilbronn", (SPREAD, 0.9), "2 entries"),
    "heilbronn: a score in their place": ("heilbronn", 0.9, "must be a list"),
    "heilbronn: a dict with a score": ("heilbronn", {"points": SPREAD, "score": 1.0}, "must be a list"),
    "autocorrelation: a score in the function's place": ("autocorrelation", 1.5, "must be a list"),
    "sum_difference: sizes in the set's place": ("sum_difference", {"sums": 1, "differences": 10**9}, "must be a list"),
    "circle_packing: a sum of radii in the packing's place": ("circle_packing", 2.7, "must return"),
    "circle_packing: centers without radii": ("circle_packing", (GRID[0],), "must return"),
    "circle_packing: a radius of another class": (
        "circle_packing",
        (GRID[0], [Flattering(0.08), *GRID[1][1:]]),
        "a Flattering",
    ),
    "circle_packing: beside the square by far": (
        "circle_packing",
        ([[1e300, 1e300], *GRID[0][1:]], GRID[1]),
        "sticks out",
    ),
    # numbers that compare with nothing, or are no numbers
    "heilbronn: NaN": ("heilbronn", changed(SPREAD, 3, 1, math.nan), "holds nan"),
    "heilbronn: infinite": ("heilbronn", changed(SPREAD, 3, 1, math.inf), "holds inf"),
    "heilbronn: text": ("heilbronn", changed(SPREAD, 3, 1, "1.0"), "a str"),
    "heilbronn: a boolean": ("heilbronn", changed(SPREAD, 3, 1, True), "a bool"),
    "heilbronn: complex": ("heilbronn", changed(SPREAD, 3, 1, 1j), "a complex"),
    "heilbronn: a float of another class": ("heilbronn", changed(SPREAD, 3, 1, Flattering(1.0)), "a Flattering"),
    "heilbronn: a list of another class": ("heilbronn", Growing(CORNERS), "a Growing"),
    "heilbronn: an integer beyond all floats": ("heilbronn", changed(SPREAD, 3, 1, 10**400), "beyond all bounds"),
    "heilbronn: an object array": ("heilbronn", np.array([[Flattering(1.0)] * 3] * 11, dtype=object), "a Flattering"),
    "heilbronn: fewer points": ("heilbronn", SPREAD[:10], "10 entries"),
    "heilbronn: a point too many": ("heilbronn", [*SPREAD, [1.0, 2.0, 4.0]], "12 entries"),
    "heilbronn: outside by a negative weight": ("heilbronn", changed(SPREAD, 3, 1, -5e-324), "negative weight"),
    "heilbronn: no weight at all": ("heilbronn", [[0.0, 0.0, 0.0], *SPREAD[1:]], "without any weight"),
    "autocorrelation: NaN": ("autocorrelation", [1.0, math.nan], "holds nan"),
    "autocorrelation: negative by the least float": ("autocorrelation", [1.0, -5e-324], "negative"),
    "autocorrelation: zeros": ("autocorrelation", [0.0] * 5, "zeros only"),
    "autocorrelation: nothing": ("autocorrelation", [], "0 entries"),
    "autocorrelation: more steps than allowed": ("autocorrelation", [1.0] * 1025, "1025 entries"),
    "autocorrelation: rows": ("autocorrelation", [[1.0], [2.0]], "a list"),
    "minimum_overlap: above 1": ("minimum_overlap", [0.5, 1.0000000000000002], "outside of 0 to 1"),
    "minimum_overlap: NaN": ("minimum_overlap", [0.5, math.nan], "holds nan"),
    "minimum_overlap: one step that the rescaling lifts above 1": ("minimum_overlap", [1.0, 0.1, 0.1], "above 1"),
    "minimum_overlap: all mass in denormals": ("minimum_overlap", [5e-324, 0.0, 0.0], "above 1"),
    "minimum_overlap: zeros": ("minimum_overlap", [0.0, 0.0], "zeros only"),
    "distance_ratio: a point twice": ("distance_ratio", [*PLANE[:15], PLANE[0]], "same point twice"),
    "distance_ratio: all points in one": ("distance_ratio", [[0.0, 0.0]] * 16, "same point twice"),
    "distance_ratio: zero and minus zero": (
        "distance_ratio",
        [*PLANE[:14], [0.0, 0.0], [-0.0, 0.0]],
        "same point twice",
    ),
    "distance_ratio: a ratio beyond all floats": (
        "distance_ratio",
        [*([1e300 * k, 0.0] for k in range(15)), [5e-324, 0.0]],
        "nearly the same",
    ),
    "distance_ratio: points of space": ("distance_ratio", [[*point, 0.0] for point in PLANE], "3 entries"),
    "distance_ratio: infinite": ("distance_ratio", changed(PLANE, 0, 0, math.inf), "holds inf"),
    "sum_difference: without zero": ("sum_difference", [1, 2, 5], "lacks 0"),
    "sum_difference: a number twice": ("sum_difference", [0, 1, 1, 5], "twice"),
    "sum_difference: negative": ("sum_difference", [0, -3, 7], "outside of 0"),
    "sum_difference: beyond 64 bits": ("sum_difference", [0, 1, 2**63], "outside of 0"),
    "sum_difference: a number of a million digits": ("sum_difference", [0, 1, 1 << 3_000_000], "outside of 0"),
    "sum_difference: floats that hide differences": ("sum_difference", [0, 1, 2.0**53], "a float"),
    "sum_difference: booleans": ("sum_difference", [False, True, 5], "a bool"),
    "sum_difference: zero alone": ("sum_difference", [0], "1 entries"),
    "sum_difference: too many": ("sum_difference", list(range(2001)), "2001 entries"),
    "sum_difference: an interval, whose logarithm of one is none": ("sum_difference", [0, 1], "all there can be"),
}


@pytest.mark.parametrize("cheat", REFUSED, ids=str)
def test_answer_that_breaks_the_rules_is_refused(cheat: str) -> None:
    name, answer, why = REFUSED[cheat]
    with pytest.raises(ValueError, match=why):
        certified(name, answer)


def test_duplicated_points_and_grids_score_nothing() -> None:
    grid = [[1.0 + k % 4, 1.0 + k // 4, 9.0 - k % 4 - k // 4] for k in range(11)]
    for points in (
        [*SPREAD[:10], SPREAD[0]],
        [*SPREAD[:10], [3 * weight for weight in SPREAD[0]]],
        grid,
        [[a + 1e-16, b, c] for a, b, c in grid],
        [[5e-324 * a, 5e-324 * b, 5e-324 * c] for a, b, c in grid],
    ):
        assert certified("heilbronn", points).low == 0


def test_circles_beyond_the_precision_of_floats_score_what_fits() -> None:
    """Where floats lose a distance, circles that overlap would seem to touch."""
    centers, radii = GRID
    near = [[x + 2.0**-40 * (k % 2), y] for k, (x, y) in enumerate(centers)]
    for layout in (near, [[5e-324, 5e-324]] * 2 + centers[2:]):
        score = certified("circle_packing", (layout, [0.0, *radii[1:]] if layout is near else [0.0, 0.0, *radii[2:]]))
        assert score.low == score.high <= Fraction(25, 12)
    assert certified("circle_packing", (centers, [r + 9e-7 for r in radii]), tolerance=1e-5).low <= Fraction(26, 12)


def test_scale_and_place_are_worth_nothing() -> None:
    share = certified("heilbronn", SPREAD).low
    assert certified("heilbronn", [[2.0**-900 * x for x in point] for point in SPREAD]).low == share
    ratio = certified("distance_ratio", PLANE).low
    assert certified("distance_ratio", [[2.0**900 * x for x in point] for point in PLANE]).low == ratio
    grid = [[k / 16, (k * k % 13) / 16] for k in range(16)]
    moved = [[x + 2.0**40, y - 2.0**40] for x, y in grid]
    assert certified("distance_ratio", moved).low == certified("distance_ratio", grid).low


def test_distances_that_floats_lose_are_counted() -> None:
    """Far from zero, squares of differences in floats would be zero, infinite or equal."""
    far = [[1e300 * math.cos(k), 1e300 * math.sin(k)] for k in range(16)]
    near = [[1e-300 * math.cos(k), 1e-300 * math.sin(k)] for k in range(16)]
    for points in (far, near):
        assert float(certified("distance_ratio", points).low) == pytest.approx(
            float(certified("distance_ratio", PLANE).low), rel=1e-9
        )


def test_peak_that_a_float_convolution_rounds_away_is_counted() -> None:
    spike = [1.0] * 30 + [1.0 + 2.0**-52] + [1.0] * 30
    found = certified("autocorrelation", spike).low
    assert found != 2 and abs(found - 2) < Fraction(1, 2**48)
    tiny = [1e-200] * 10 + [1e200]
    assert certified("autocorrelation", tiny).low == pytest.approx(22)


def test_no_score_is_better_than_its_answer() -> None:
    for name, better in (("heilbronn", "maximize"), ("distance_ratio", "minimize"), ("sum_difference", "maximize")):
        found = certified(name, construct(name, task(name).seed))
        if better == "maximize":
            assert Fraction(found.worst(better)) <= found.low
        else:
            assert Fraction(found.worst(better)) >= found.high


def test_choice_of_a_bin_that_is_none_is_refused() -> None:
    with task("bin_packing").importable() as load:
        index_of = load("exact").index_of
    assert index_of(2, 3) == 2
    for choice in (3, -1, True, 1.0, math.nan, "0", None, [0]):
        with pytest.raises(ValueError, match="one finite number for each bin"):
            index_of(choice, 3)


HOSTILE_RULE = """
import sys
import evolve_task

def score(item, bins):
    # The harness of this sandbox is the program's own to change; what counts is kept elsewhere.
    sys.modules["__main__"].__dict__["excess"] = 0.0
    evolve_task.Session = None
    bins[:] = 0
    return bins - item
"""


def test_rule_that_changes_its_sandbox_gains_nothing(tmp_path: Path) -> None:
    folder = real_folder("bin_packing", tmp_path / "task")
    honest = "def score(item, bins):\n    return -0.0 * bins\n"
    found = [
        asyncio.run(task("bin_packing").evaluate(tmp_path, code, task_folder=folder, items=40))[0]
        for code in (honest, HOSTILE_RULE)
    ]
    assert [outcome.status for outcome in found] == ["ok", "ok"], [outcome.reason for outcome in found]
    assert found[0].score == found[1].score
