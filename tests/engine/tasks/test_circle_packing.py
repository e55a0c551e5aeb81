"""Circle packing: what its evaluator believes, and that the parts and recipes it comes with work together."""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import check_recipes
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation import evolve_task
from engine.task.interface import check_program
from engine.task.load import find_task, load_task
from engine.task.spec import Task

Evaluate = Callable[..., dict[str, Any]]

TASK = load_task(find_task("circle_packing"))
PRIORS = PriorFolder(TASK.priors).read()
ROLES = {"initial_centers", "radii_for", "refine", "perturb", "search", "polish"}


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """The evaluator on a packing that is handed to it, as if a candidate had returned it."""

    def call(result: Any) -> dict[str, Any]:
        module = types.ModuleType("evolve_task")
        vars(module).update(Invalid=evolve_task.Invalid, call=lambda function: result)
        monkeypatch.setitem(sys.modules, "evolve_task", module)
        namespace: dict[str, Any] = {"__name__": "evaluate"}
        exec(compile(TASK.evaluator.read_text(), TASK.evaluator, "exec"), namespace)

        class Report:
            settings = TASK.spec.settings

            def __call__(self, **values: float) -> None:
                assert all(math.isfinite(value) for value in values.values())

        found: dict[str, Any] = namespace["evaluate"]("program.py", Report())
        return found

    return call


def grid(radius: float = 1 / 12) -> tuple[list[list[float]], list[float]]:
    """26 of the cells of a 6 by 6 grid, each with an equal circle."""
    centers = [[(k % 6 + 0.5) / 6, (k // 6 + 0.5) / 6] for k in range(26)]
    return centers, [radius] * 26


def run(code: str) -> tuple[Any, Any]:
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(code, "candidate", "exec"), namespace)
    found: tuple[Any, Any] = namespace["construct_packing"]()
    return found


def test_seed_scores_as_published_ring_layout(evaluate: Evaluate) -> None:
    found = evaluate(run(TASK.seeds[0].code))
    assert found["sum_radii"] == pytest.approx(0.9598, abs=5e-5)
    assert found["sum_strict"] == pytest.approx(found["sum_radii"], abs=1e-12)


def test_packing_may_be_lists_or_arrays_with_or_without_sum(evaluate: Evaluate) -> None:
    centers, radii = grid()
    for result in (
        [centers, radii],
        (centers, radii, 99.0),
        [np.array(centers), np.array(radii)],
        [centers, [0] * 26],
    ):
        assert evaluate(result)["sum_radii"] == pytest.approx(sum(result[1]))


def test_overlap_within_tolerance_is_allowed_and_reported(evaluate: Evaluate) -> None:
    centers, radii = grid(1 / 12 + 4e-7)
    found = evaluate([centers, radii])
    assert found["sum_radii"] == pytest.approx(26 / 12 + 26 * 4e-7, abs=1e-12)
    assert found["sum_strict"] <= 26 / 12 + 1e-12
    assert found["sum_strict"] > 26 / 12 - 1e-5


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
    module = types.ModuleType("evolve_task")
    namespace: dict[str, Any] = {"__name__": "evaluate"}
    sys.modules.setdefault("evolve_task", module)
    exec(compile(TASK.evaluator.read_text(), TASK.evaluator, "exec"), namespace)
    centers = rng.random((26, 2)).tolist()
    claimed = [0.2] * 26
    strict = namespace["shrink"](centers, claimed)
    for i in range(26):
        assert 0 <= strict[i] <= claimed[i]
        assert strict[i] <= min(*centers[i], 1 - centers[i][0], 1 - centers[i][1])
        for j in range(i):
            assert strict[i] + strict[j] <= math.dist(centers[i], centers[j])


def test_task_folder_passes_check() -> None:
    assert TASK.spec.guarded
    assert TASK.spec.metric == "sum_radii"
    assert set(parse_program(TASK.seeds[0].code).functions) == ROLES | {"construct_packing"}
    assert check_recipes(TASK.seeds, PRIORS) == []
    assert PriorFolder(TASK.priors).problems == []


def test_every_prior_has_source_and_every_part_has_recipes() -> None:
    assert len(PRIORS) >= 12
    assert all(prior.source and prior.tags and prior.title for prior in PRIORS)
    covered = {
        name for prior in PRIORS for recipe in prior.recipes for name in parse_program(recipe.code).functions
    } & ROLES
    assert covered == ROLES


def test_priors_hold_no_coordinates() -> None:
    for code in [TASK.seeds[0].code, *(recipe.code for prior in PRIORS for recipe in prior.recipes)]:
        assert not re.findall(r"\d\.\d{5,}", code)


def small(code: str) -> str:
    """The program with as little effort as its constants allow."""
    for name, effort in {"SOLVES": 2, "STARTS": 1, "CLIMBS": 2, "MOVES": 3, "STEPS": 20, "CANDIDATES": 20}.items():
        code = re.sub(rf"^({name}(?:_\d+)?) = \d+", rf"\1 = {effort}", code, flags=re.MULTILINE)
    return code


def grafted(code: str, prior: Prior, task: Task = TASK) -> str:
    components = frozenset(parse_program(task.seeds[0].code).functions)
    for recipe in prior.recipes:
        for function in set(parse_program(recipe.code).functions) & ROLES:
            code = graft(parse_program(code), parse_program(recipe.code), function, components)
    check_program(code, task.spec)
    return code


BY_ID = {prior.id: prior for prior in PRIORS}


@pytest.mark.parametrize("prior", [prior for prior in PRIORS if prior.recipes], ids=lambda prior: prior.id)
def test_every_recipe_makes_valid_program(evaluate: Evaluate, prior: Prior) -> None:
    # A search that hops, so that each part is called.
    code = grafted(grafted(TASK.seeds[0].code, BY_ID["starts-then-hops"]), prior)
    found = evaluate(run(small(code)))
    assert found["sum_strict"] == pytest.approx(found["sum_radii"], abs=1e-5)


def test_good_parts_together_reach_good_packing(evaluate: Evaluate) -> None:
    code = TASK.seeds[0].code
    for name in ("hexagonal-rows", "linear-program-radii", "slsqp-all-pairs", "move-a-few", "starts-then-hops"):
        code = grafted(code, BY_ID[name])
    found = evaluate(run(re.sub(r"SOLVES = 30", "SOLVES = 10", code)))
    assert found["sum_radii"] > 2.6
