"""Circle packing: its evaluator accepts only valid packings, and its recipes work together."""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cognition.prior import Prior
from engine.evaluation import evolve_task
from tests.engine.tasks.builtin import BuiltIn

Evaluate = Callable[..., dict[str, Any]]

CIRCLES = BuiltIn("circle_packing")
ROLES = {"initial_centers", "radii_for", "refine", "perturb", "search", "polish"}


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Return a function that evaluates a packing as if a candidate had returned it."""

    def call(result: Any) -> dict[str, Any]:
        module = types.ModuleType("evolve_task")
        vars(module).update(Invalid=evolve_task.Invalid, call=lambda function: result, source=lambda: "")
        monkeypatch.syspath_prepend(CIRCLES.folder)
        monkeypatch.setitem(sys.modules, "evolve_task", module)
        namespace: dict[str, Any] = {"__name__": "evaluate"}
        exec(compile(CIRCLES.task.evaluator.read_text(), CIRCLES.task.evaluator, "exec"), namespace)

        class Report:
            settings = CIRCLES.spec.settings

            def __call__(self, **values: float) -> None:
                assert all(math.isfinite(value) for value in values.values())

            def picture(self, kind: str, data: list[list[float]]) -> None:
                assert (kind, len(data)) == ("circles", 26)

        found: dict[str, Any] = namespace["evaluate"]("program.py", Report())
        return found

    return call


def grid(radius: float = 1 / 12) -> tuple[list[list[float]], list[float]]:
    """Return equal circles in 26 cells of a 6 by 6 grid."""
    centers = [[(k % 6 + 0.5) / 6, (k // 6 + 0.5) / 6] for k in range(26)]
    return centers, [radius] * 26


def run(code: str) -> tuple[Any, Any]:
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(code, "candidate", "exec"), namespace)
    found: tuple[Any, Any] = namespace["construct_packing"]()
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
        ([grid()[0][:25], grid()[1][:25]], "shape"),
        ([grid()[0], grid()[1] + [0.0]], "shape"),
        ([np.zeros((26, 3)), np.zeros(26)], "shape"),
        ([np.zeros((26, 2)), np.zeros((26, 1))], "not numbers only"),
        ([np.zeros(52), np.zeros(26)], "shape"),
        ([0.0, 0.0], "shape"),
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


def test_shrinking_leaves_no_overlap(evaluate: Evaluate) -> None:
    rng = np.random.default_rng(0)
    with CIRCLES.importable() as load:
        shrink = load("evaluate").shrink
    centers = rng.random((26, 2)).tolist()
    claimed = [0.2] * 26
    strict = shrink(centers, claimed)
    for i in range(26):
        assert 0 <= strict[i] <= claimed[i]
        assert strict[i] <= min(*centers[i], 1 - centers[i][0], 1 - centers[i][1])
        for j in range(i):
            assert strict[i] + strict[j] <= math.dist(centers[i], centers[j])


def test_task_folder_passes_check() -> None:
    assert CIRCLES.spec.guarded
    assert CIRCLES.spec.metric == "sum_radii"
    assert CIRCLES.parts == ROLES | {"construct_packing"}
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
