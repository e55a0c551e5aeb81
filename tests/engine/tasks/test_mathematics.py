"""The open problems: their scores are exact, as published where that is known, and their recipes fit their seeds."""

from __future__ import annotations

import itertools
import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.evaluation.evolve_task import PICTURE
from engine.runs.reach import reads_outside
from engine.task.load import load_task
from tests.engine.tasks.mathematics import (
    TASKS,
    certified,
    construct,
    grafted,
    improve,
    real_folder,
    small,
    task,
    together,
)


@pytest.mark.parametrize("name", TASKS)
def test_task_folder_passes_check_and_half_of_its_priors_have_recipes(name: str) -> None:
    built = task(name)
    built.check_folder()
    assert built.spec.guarded and built.spec.limits.cpu_seconds is not None
    assert len(built.priors) >= 10
    assert 2 * len(built.with_recipes) >= len(built.priors)
    replaced = set().union(*(names for prior in built.with_recipes for names in built.functions_of(prior)))
    assert len(replaced) >= 2


@pytest.mark.parametrize("name", TASKS)
def test_every_recipe_makes_valid_program(name: str) -> None:
    for priors in together(name):
        smaller = {key: min(value, 200) for key, value in task(name).spec.settings.items() if key == "elements"}
        found = certified(name, construct(name, small(grafted(name, *priors)), **smaller), **smaller)
        assert found.low <= found.high, [prior.id for prior in priors]


@pytest.mark.parametrize("name", TASKS)
def test_program_may_start_from_the_best_answer_so_far(name: str) -> None:
    few = {"elements": 60} if name == "sum_difference" else {}
    best = construct(name, small(task(name).seed), **few)
    told = json.loads(json.dumps(best))
    found = improve(name, small(task(name).seed), told, **few)
    scores = [certified(name, answer, **few) for answer in (best, found)]
    sign = 1 if task(name).spec.direction == "maximize" else -1
    assert sign * scores[1].low >= sign * scores[0].low - Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("name", "instance", "record"),
    [
        ("circle_packing", "32", 2.9395728),
        ("heilbronn", "convex-13", 0.0309369),
        ("heilbronn", "convex-14", 0.0278356),
        ("distance_ratio", "space-14", 4.1658),
        ("autocorrelation", "second", 0.962901),
    ],
)
def test_instance_can_be_searched_beside_its_record(name: str, instance: str, record: float) -> None:
    spec = load_task(task(name).folder, instance=instance).spec
    assert spec.record is not None and spec.record.value == record
    with task(name).importable() as load:
        assert load("exact").direction_of(spec.settings) == spec.direction
    score = certified(name, construct(name, small(task(name).seed), **spec.settings), **spec.settings).low
    assert 0 < score < record if spec.direction == "maximize" else score > record


@pytest.mark.parametrize("name", TASKS)
def test_links_lead_to_files_that_the_tasks_share(name: str) -> None:
    shared = Path(task(name).folder).parent / "mathematics"
    links = [path for path in task(name).folder.iterdir() if path.is_symlink()]
    assert links and all(path.resolve().parent == shared and path.is_file() for path in links)
    assert reads_outside(task(name).task) == []


@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_constant_function_shows_two_and_two_thirds(steps: int) -> None:
    for height in (1.0, 0.1, 5e-324, 1e308):
        assert certified("autocorrelation", [height] * steps).low == 2
        assert certified("autocorrelation", [height] * steps, inequality="second").low == Fraction(2, 3)


def test_autocorrelation_is_that_of_fractions() -> None:
    rng = random.Random(1)
    f = [rng.random() * 10.0 ** rng.randint(-30, 30) for _ in range(9)]
    exact = [Fraction(value) for value in f]
    y = [sum(exact[i] * exact[k - i] for i in range(9) if 0 <= k - i < 9) for k in range(17)]
    assert certified("autocorrelation", f).low == 18 * max(y) / sum(exact) ** 2
    line = [Fraction(0), *y, Fraction(0)]
    square = sum((a * a + a * b + b * b) / 3 for a, b in itertools.pairwise(line))
    assert certified("autocorrelation", f, inequality="second").low == square / (sum(y) * max(y))


def test_corners_of_triangle_and_square_have_known_shares() -> None:
    corners = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert certified("heilbronn", corners, points=3).low == 1
    assert certified("heilbronn", [*corners, [1, 1, 1]], points=4).low == Fraction(1, 3)
    square = [[0, 0], [1e-300, 0], [1e-300, 1e-300], [0, 1e-300]]
    assert certified("heilbronn", square, points=4, region="convex").low == Fraction(1, 2)


def test_heilbronn_share_agrees_with_the_programs_own_value() -> None:
    for region in ("triangle", "convex"):
        points = construct("heilbronn", task("heilbronn").seed, region=region)
        share = certified("heilbronn", points, region=region).low
        assert 0 < share < Fraction(1, 20)
        flat = [point[1:] if region == "triangle" else point for point in points]
        twice = min(
            abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
            for a, b, c in itertools.combinations(flat, 3)
        )
        assert float(share) >= twice * (1 - 1e-9)


def test_score_is_rounded_to_the_worse_side() -> None:
    third = certified("heilbronn", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], points=4)
    assert Fraction(third.worst("maximize")) < Fraction(1, 3) < Fraction(third.worst("minimize"))
    assert third.worst("minimize") == math.nextafter(third.worst("maximize"), 1)


@pytest.mark.parametrize("steps", [1, 2, 50])
def test_constant_function_overlaps_by_a_half(steps: int) -> None:
    for height in (0.5, 1.0, 1e-9, 5e-324):
        assert certified("minimum_overlap", [height] * steps).low == Fraction(1, 2)


def test_overlap_is_that_of_fractions() -> None:
    h = [Fraction(k, 8) for k in (1, 7, 8, 6, 2, 0)]
    shares = [value * 3 / sum(h) for value in h]
    largest = max(sum(shares[i] * (1 - shares[i + k]) for i in range(6) if 0 <= i + k < 6) for k in range(-5, 6))
    assert certified("minimum_overlap", [float(value) for value in h]).low == largest / 3


def test_known_set_shows_its_known_exponent() -> None:
    found = certified("sum_difference", [0, 1, 3, 6, 13, 17, 21])
    assert float(found.low) == pytest.approx(1.10780, abs=5e-6)
    assert 0 < found.high - found.low < Fraction(1, 2**100)
    assert (found.metrics["sums"], found.metrics["differences"]) == (26, 39)


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(2), Fraction(3, 4), Fraction(10**40), Fraction(7, 10**9)])
def test_logarithm_lies_in_its_interval(value: Fraction) -> None:
    with task("sum_difference").importable() as load:
        low, high = load("logarithm").logarithm(value)
        squared = load("logarithm").logarithm(value * value)
    assert float(low) == pytest.approx(math.log(value), rel=1e-15)
    assert 0 < high - low < Fraction(1, 2**120)
    assert squared[0] < 2 * high and 2 * low < squared[1]


def test_corners_of_a_square_and_a_tetrahedron_have_known_ratios() -> None:
    square = [[0, 0], [1e-160, 0], [0, 1e-160], [1e-160, 1e-160]]
    assert certified("distance_ratio", square, points=4).low == 2
    corners = [[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    assert certified("distance_ratio", corners, points=4, dimensions=3).low == 1


def test_bins_are_counted_as_they_are_filled() -> None:
    with task("bin_packing").importable() as load:
        exact = load("exact")
    bins = exact.Bins(10)
    for item, expected in ((6, [10]), (6, [10]), (3, [4, 4, 10]), (4, [4, 10]), (1, [1, 10])):
        assert bins.rooms(item) == expected
        bins.place(item, bins.rooms(item)[0])
    assert (bins.used, bins.rooms(1)) == (2, [10])
    assert exact.excess(bins.used, [6, 6, 3, 4, 1], 10) == 0
    assert exact.excess(4, [6, 6, 6], 10) == 1


def test_every_recipe_of_bin_packing_scores_each_bin() -> None:
    rooms = np.array([45.0, 45.0, 46.0, 80.0, 100.0])
    for priors in together("bin_packing"):
        namespace: dict[str, Any] = {}
        exec(grafted("bin_packing", *priors), namespace)
        scores = namespace["score"](45.0, rooms.copy())
        assert scores.shape == rooms.shape and np.isfinite(scores).all()
    assert len(task("bin_packing").priors) >= 10
    task("bin_packing").check_folder()


async def test_evaluation_of_seeds_in_the_sandbox(tmp_path: Path) -> None:
    for name in ("distance_ratio", "bin_packing"):
        outcome, reports = await task(name).evaluate(
            tmp_path / name,
            task(name).seed,
            task_folder=real_folder(name, tmp_path / name / "task"),
            **({"items": 60} if name == "bin_packing" else {}),
        )
        assert outcome.status == "ok", (name, outcome.reason, outcome.stderr)
        assert outcome.score is not None and outcome.score >= 0
        assert len(reports) == (0 if name == "bin_packing" else 1)


def test_large_set_is_drawn_within_the_numbers_of_a_picture() -> None:
    with task("sum_difference").importable() as load:
        drawn = load("exact").drawn
        for size in (2, 4096, 4097, 54265):
            kind, heights = drawn(list(range(size)), {})
            assert kind == "steps"
            assert min(size, 2048) <= len(heights) <= PICTURE
