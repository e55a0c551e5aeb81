"""Circle packing: its evaluator accepts only valid packings, and its recipes work together."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cognition.prior import Prior
from engine.evaluation import evolve_task
from engine.task.load import load_task
from tests.engine.tasks.builtin import BuiltIn, Report

Evaluate = Callable[..., dict[str, Any]]

CIRCLES = BuiltIn("circle_packing")
ROLES = {"initial_centers", "radii_for", "refine", "perturb", "search", "polish"}


@pytest.fixture
def evaluate() -> Evaluate:
    """Return a function that evaluates a packing as if a candidate had returned it."""

    def call(result: Any, count: int = 26) -> dict[str, Any]:
        module = types.ModuleType("evolve_task")
        vars(module).update(Invalid=evolve_task.Invalid, call=lambda function, *count: result, source=lambda: "")
        report = Report(CIRCLES, circles=count)
        with CIRCLES.importable(module) as load:
            found: dict[str, Any] = load("evaluate").evaluate("program.py", report)
        assert all(math.isfinite(value) for _, values in report.seen for value in values.values())
        return found

    return call


def grid(radius: float = 1 / 12) -> tuple[list[list[float]], list[float]]:
    """Return equal circles in 26 cells of a 6 by 6 grid."""
    centers = [[(k % 6 + 0.5) / 6, (k // 6 + 0.5) / 6] for k in range(26)]
    return centers, [radius] * 26


def run(code: str, *count: int) -> tuple[Any, Any]:
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(code, "candidate", "exec"), namespace)
    found: tuple[Any, Any] = namespace["construct_packing"](*count)
    return found


def test_seed_scores_as_published_ring_layout(evaluate: Evaluate) -> None:
    found = evaluate(run(CIRCLES.seed))
    assert found["sum_radii"] == pytest.approx(0.9598, abs=5e-5)
    assert found["sum_returned"] == pytest.approx(found["sum_radii"], abs=1e-12)


def test_packing_may_be_lists_or_arrays_with_or_without_sum(evaluate: Evaluate) -> None:
    centers, radii = grid()
    for result in (
        [centers, radii],
        (centers, radii, 99.0),
        [np.array(centers), np.array(radii)],
        [centers, [0] * 26],
    ):
        assert evaluate(result)["sum_radii"] == pytest.approx(sum(result[1]))


def test_overlap_within_tolerance_is_allowed_and_worth_nothing(evaluate: Evaluate) -> None:
    centers, radii = grid(1 / 12 + 4e-7)
    found = evaluate([centers, radii])
    assert found["sum_returned"] == pytest.approx(26 / 12 + 26 * 4e-7, abs=1e-12)
    assert found["sum_radii"] <= 26 / 12 + 1e-12
    assert found["sum_radii"] > 26 / 12 - 1e-5


def changed(change: Callable[[list[Any], list[Any]], Any]) -> list[Any]:
    centers, radii = grid()
    change(centers, radii)
    return [centers, radii]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "must return"),
        ("circles", "must return"),
        ([], "must return"),
        ({"centers": 1, "radii": 2}, "must return"),
        ([grid()[0][:25], grid()[1][:25]], "25 entries"),
        ([grid()[0], grid()[1] + [0.0]], "27 entries"),
        ([np.zeros((26, 3)), np.zeros(26)], "3 entries"),
        ([np.zeros((26, 2)), np.zeros((26, 1))], "not numbers only"),
        ([np.zeros(52), np.zeros(26)], "52 entries"),
        ([0.0, 0.0], "must be a list"),
        (changed(lambda c, r: r.__setitem__(3, math.nan)), "nan"),
        (changed(lambda c, r: c[3].__setitem__(0, math.nan)), "nan"),
        (changed(lambda c, r: r.__setitem__(3, math.inf)), "inf"),
        (changed(lambda c, r: c[3].__setitem__(1, -math.inf)), "inf"),
        (changed(lambda c, r: r.__setitem__(3, 1e300)), "outside|sticks out"),
        (changed(lambda c, r: r.__setitem__(3, 10**400)), "beyond"),
        (changed(lambda c, r: r.__setitem__(3, -1e-9)), "negative"),
        (changed(lambda c, r: r.__setitem__(3, True)), "bool"),
        (changed(lambda c, r: r.__setitem__(3, "0.1")), "str"),
        (changed(lambda c, r: r.__setitem__(3, 0.1j)), "complex"),
        (changed(lambda c, r: r.__setitem__(3, [0.1])), "list"),
        (changed(lambda c, r: c[3].__setitem__(0, 2.0)), "sticks out"),
        (changed(lambda c, r: c.__setitem__(3, c[4])), "overlap"),
        (list(grid(1 / 12 + 2e-6)), "sticks out"),
    ],
)
def test_invalid_packing_has_no_score(evaluate: Evaluate, result: Any, why: str) -> None:
    with pytest.raises(evolve_task.Invalid, match=why):
        evaluate(result)


def test_shrinking_leaves_no_overlap_in_exact_arithmetic() -> None:
    rng = np.random.default_rng(0)
    with CIRCLES.importable() as load:
        shrink = load("exact").shrink
    for scale in (1.0, 1e-3, 1e-30):
        centers = [[Fraction(x), Fraction(y)] for x, y in (rng.random((26, 2)) * scale).tolist()]
        strict = [Fraction(radius, 1 << 80) for radius in shrink(centers, [0.2] * 26)]
        for i in range(26):
            assert 0 <= strict[i] <= min(Fraction(0.2), *centers[i], 1 - centers[i][0], 1 - centers[i][1])
            for j in range(i):
                apart = sum((a - b) ** 2 for a, b in zip(centers[i], centers[j], strict=True))
                assert (strict[i] + strict[j]) ** 2 <= apart


def test_other_number_of_circles_is_an_instance(evaluate: Evaluate) -> None:
    task = load_task(CIRCLES.folder, instance="32")
    assert (task.spec.settings["circles"], task.spec.instance) == (32, "32")
    assert task.spec.record is not None and task.spec.record.value == 2.9395728
    assert task.spec.bound == pytest.approx(math.sqrt(32 / math.pi), abs=1e-6)
    code = CIRCLES.graft(BY_ID["hexagonal-rows"], CIRCLES.graft(BY_ID["linear-program-radii"]))
    assert 1.5 < evaluate(run(code, 32), 32)["sum_radii"] < 2.9395728
    with pytest.raises(evolve_task.Invalid, match="26 entries"):
        evaluate(run(CIRCLES.seed), 32)


@pytest.mark.parametrize("count", [26, 32])
@pytest.mark.parametrize(
    "prior", ["farthest-point", "hexagonal-rows", "low-discrepancy-starts", "square-grid-plus-one"]
)
def test_start_layouts_fit_the_number_of_circles(evaluate: Evaluate, prior: str, count: int) -> None:
    assert evaluate(run(small(CIRCLES.graft(BY_ID[prior])), count), count)["sum_radii"] > 0


def test_task_folder_passes_check() -> None:
    assert CIRCLES.spec.guarded
    assert CIRCLES.spec.metric == "sum_radii"
    assert CIRCLES.parts == ROLES | {"construct_packing", "improve_packing", "hops"}
    CIRCLES.check_folder()


def test_every_prior_has_source_and_every_part_has_recipes() -> None:
    assert len(CIRCLES.priors) >= 12
    assert set().union(*(names for prior in CIRCLES.priors for names in CIRCLES.functions_of(prior))) == ROLES


def test_priors_hold_no_coordinates() -> None:
    for code in [CIRCLES.seed, *(recipe.code for prior in CIRCLES.priors for recipe in prior.recipes)]:
        assert not re.findall(r"\d\.\d{5,}", code)


def small(code: str) -> str:
    """Reduce a program's effort through its constants."""
    for name, effort in {"SOLVES": 2, "STARTS": 1, "CLIMBS": 2, "MOVES": 3, "STEPS": 20, "CANDIDATES": 20}.items():
        code = re.sub(rf"^({name}(?:_\d+)?) = \d+", rf"\1 = {effort}", code, flags=re.MULTILINE)
    return code


BY_ID = {prior.id: prior for prior in CIRCLES.priors}


@pytest.mark.parametrize("prior", CIRCLES.with_recipes, ids=lambda prior: prior.id)
def test_every_recipe_makes_valid_program(evaluate: Evaluate, prior: Prior) -> None:
    # A search with hops calls each part.
    code = CIRCLES.graft(prior, CIRCLES.graft(BY_ID["starts-then-hops"]))
    found = evaluate(run(small(code)))
    assert found["sum_returned"] == pytest.approx(found["sum_radii"], abs=1e-5)


def test_good_parts_together_reach_good_packing(evaluate: Evaluate) -> None:
    code = CIRCLES.seed
    for name in ("hexagonal-rows", "linear-program-radii", "slsqp-all-pairs", "move-a-few", "starts-then-hops"):
        code = CIRCLES.graft(BY_ID[name], code)
    found = evaluate(run(re.sub(r"SOLVES = 30", "SOLVES = 10", code)))
    assert found["sum_radii"] > 2.6
