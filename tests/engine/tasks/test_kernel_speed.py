"""The built-in task kernel_speed: definitions, seeds, priors, and what an honest kernel is told."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cognition.files import PriorFolder
from engine.designers.recombine import check_recipes
from engine.evaluation import evolve_task
from engine.evaluation.job import Job
from engine.task.spec import Limits
from tests.engine.tasks.c_task import TASK, evaluate_kernel, run_job
from tests.needs import require

require("gcc")

FASTER = """
static void read_state(const float *restrict state, const float *restrict x, float *restrict y, int keys, int values)
{
    for (int j = 0; j < values; ++j)
        y[j] = 0.0f;
    for (int i = 0; i < keys; ++i)
        for (int j = 0; j < values; ++j)
            y[j] += state[i * values + j] * x[i];
}
"""


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The task's files as modules."""
    names = ("problems", "evaluate", "on_gpu")
    kept = {name: sys.modules.pop(name) for name in (*names, "evolve_task") if name in sys.modules}
    sys.path.insert(0, str(TASK.folder))
    sys.modules["evolve_task"] = evolve_task
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(TASK.folder))
        for name in (*names, "evolve_task"):
            sys.modules.pop(name, None)
        sys.modules.update(kept)


@pytest.mark.parametrize(("problem", "of"), [("delta_rule", "beta"), ("ssd", "g")])
def test_definition_is_that_of_the_operators(modules: dict[str, Any], problem: str, of: str) -> None:
    require("torch")
    import torch

    from kernels.reference import reference_recurrence

    found = modules["problems"].PROBLEMS[problem]
    case = modules["problems"].Case((2, 9, 3, 5, 4))
    arrays = found.draw(np.random.default_rng(1), case)
    x = {name: torch.from_numpy(array) for name, array in arrays.items()}
    options = {"beta": None, "g": None, of: x[of]}
    state = torch.zeros(2, 3, 5, 4)
    wanted, _ = reference_recurrence(x["q"], x["k"], x["v"], options["beta"], options["g"], 1.0, state)
    np.testing.assert_allclose(found.define(arrays), wanted.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("problem", ["softmax_attention", "layer_norm", "int8_matmul", "ssd"])
async def test_seed_of_another_problem_is_right(problem: str, tmp_path: Path) -> None:
    code = (TASK.folder / "problems" / f"{problem}.c").read_text()
    outcome = await evaluate_kernel(tmp_path, code, problem=problem, warm=2, cold=1)
    assert outcome.status == "ok", (outcome.reason, outcome.stderr)


@pytest.mark.needs("bubblewrap")
async def test_faster_kernel_has_rates_and_a_share_of_the_roofline(tmp_path: Path) -> None:
    code = TASK.seeds[0].code
    head, tail = code.index("// y = S^T x"), code.index("// S += k w^T")
    outcome = await evaluate_kernel(tmp_path, code[:head] + FASTER + code[tail:])
    assert outcome.status == "ok" and outcome.score is not None, (outcome.reason, outcome.stderr)
    metrics = outcome.metrics
    assert min(metrics[name] for name in ("tokens_per_s", "gflops_per_s", "gbytes_per_s", "peak_gflops")) > 0
    assert 0 < metrics["roofline_share"] < 1 and metrics["cold_speedup"] > 0


def test_kernel_past_the_roofline_is_refused(modules: dict[str, Any]) -> None:
    evaluate = modules["evaluate"]
    peaks = {"peak_gflops": 100.0, "peak_gbytes": 10.0, "peak_cache_gbytes": 50.0}
    assert evaluate.least_seconds(1e9, 1e6, peaks, 1, False) == pytest.approx(0.01)
    assert evaluate.least_seconds(1e6, 1e9, peaks, 2, False) == pytest.approx(0.01)
    assert evaluate.least_seconds(4e9, 1e6, peaks, 1, True) == pytest.approx(0.01)
    evaluate.refuse_impossible(0.009, 0.01)
    with pytest.raises(evolve_task.Invalid, match="faster than possible: 5 ms, where this machine's peaks need 10 ms"):
        evaluate.refuse_impossible(0.005, 0.01)


@pytest.mark.parametrize("share", [1e-5, 1e-4])
def test_error_past_single_precision_is_found(modules: dict[str, Any], share: float) -> None:
    evaluate, problems = modules["evaluate"], modules["problems"]
    problem, case = problems.PROBLEMS["layer_norm"], problems.Case((70, 33))
    arrays = problem.draw(np.random.default_rng(2), case)
    out = problem.define(arrays)
    out[40] *= 1 + share * np.sqrt(32)  # one row of 32
    call = replace_out(evaluate, case, arrays, out)
    if share < evaluate.TOLERANCE:
        evaluate.check([call], problem)
    else:
        with pytest.raises(evolve_task.Invalid, match="the output is off by"):
            evaluate.check([call], problem)


def replace_out(evaluate: Any, case: Any, arrays: Any, out: Any) -> Any:
    return evaluate.Call(replace(case), arrays, evolve_task.Timed(None, 1.0, 1.0, 1, b""), out.astype(np.float32))


def test_priors_have_sources_and_recipes_that_fit() -> None:
    priors = PriorFolder(TASK.priors).read()
    assert check_recipes(TASK.seeds, priors, TASK.spec.language) == []
    assert PriorFolder(TASK.priors).problems == []
    assert all(prior.source and prior.tags and prior.title for prior in priors)
    assert sum(bool(prior.recipes) for prior in priors) >= 10


@pytest.mark.needs("bubblewrap")
async def test_triton_kernel_is_checked_in_the_interpreter(tmp_path: Path) -> None:
    require("torch", "triton")
    task = tmp_path / "task"
    shutil.copytree(TASK.folder, task)
    shutil.copytree(task / "gpu", task, dirs_exist_ok=True)
    job = Job(
        program=(task / "seed.py").read_text(),
        task_folder=task,
        folder=tmp_path / "run" / "work" / "1",
        metric="score",
        guarded=True,
        gpu=False,
        python=None,
        mounts=[],
        stage="explore",
        repeat=0,
        seed=3,
        settings={"problem": "delta_rule", "size": "interpreter"},
        limits=Limits(seconds=100.0),
        threads=1,
    )
    right = await run_job(job)
    assert (right.status, right.score) == ("ok", 1.0), (right.reason, right.stderr)


def test_device_events_that_the_clock_does_not_know_are_refused(modules: dict[str, Any]) -> None:
    on_gpu = importlib.import_module("on_gpu")
    on_gpu.check_event(0.010, 0.0102)
    for event in (0.005, 0.011):
        with pytest.raises(evolve_task.Invalid, match=r"the clock outside 10\.2 ms"):
            on_gpu.check_event(event, 0.0102)
    for event in (0.0, -1.0, float("nan")):
        with pytest.raises(evolve_task.Invalid, match="the clock outside"):
            on_gpu.check_event(event, on_gpu.LAUNCH_SECONDS / 2)
