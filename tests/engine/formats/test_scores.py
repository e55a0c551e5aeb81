"""What a score is made of, corner by corner: the files that run beside an evaluator, called directly."""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engine.evaluation import evolve_task
from engine.runs.imports.write import read_history
from engine.task import formats

RUNTIME = Path(formats.__file__).parent / "runtime"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the files find what they find in the sandbox, and nothing of it afterwards."""
    monkeypatch.setitem(sys.modules, "evolve_task", evolve_task)
    monkeypatch.syspath_prepend(str(RUNTIME / "shims"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("openevolve", "skydiscover", "shinka")]:
        del sys.modules[name]


def runtime(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RUNTIME / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("metrics", "score"),
    [
        ({"combined_score": 0.5, "a": 9}, 0.5),
        ({"combined_score": "0.5"}, 0.5),
        ({"combined_score": True}, 1.0),
        ({"overall_score": 0.4, "errors": 60}, 0.4),
        ({"score": 3, "errors": 60}, 3.0),
        ({"score": 1.0, "overall_score": 2.0}, 1.5),
        ({"a": 1.0, "b": 3, "complexity": 100, "flag": True, "bad": math.nan, "text": "x", "inner": {"c": 50}}, 2.0),
        ({}, 0.0),
        ({"combined_score": 0.0, "error": ""}, 0.0),
    ],
)
def test_openevolve_score(metrics: dict[str, Any], score: float, tmp_path: Path) -> None:
    module = runtime("openevolve_evaluate")
    assert module.result(None, metrics, {}, "", ["complexity"])["combined_score"] == score
    # A program that is imported has the score that it would be measured with.
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "a.json").write_text(json.dumps({"id": "a", "code": "", "metrics": metrics}))
    (tmp_path / "metadata.json").write_text('{"feature_stats": {"complexity": {}}}')
    assert read_history(tmp_path).nodes[0].score == (score if metrics else None)


def test_a_figure_of_an_inner_table_can_be_the_score() -> None:
    metrics = {"inner": {"c": 50}, "a": 1.0}
    assert runtime("openevolve_evaluate").result(None, metrics, {}, "inner.c", [])["combined_score"] == 50


@pytest.mark.parametrize(
    ("metrics", "metric", "reason"),
    [
        ({"error": "no module bs4"}, "", "no module bs4"),
        ({"error": "no module bs4", "combined_score": 0}, "", "no module bs4"),
        ({"timeout": True, "error": 0.0}, "", "for its time"),
        ({"combined_score": math.nan}, "", "no finite number"),
        ({"combined_score": math.inf}, "", "no finite number"),
        ({"accuracy": 1}, "recall", "numbers are: accuracy"),
    ],
)
def test_openevolve_failure_is_invalid_with_its_reason(metrics: dict[str, Any], metric: str, reason: str) -> None:
    with pytest.raises(evolve_task.Invalid, match=reason):
        runtime("openevolve_evaluate").result(None, metrics, {}, metric, [])


def test_openevolve_cascade_keeps_the_score_of_the_stage_below_the_threshold() -> None:
    module = runtime("openevolve_evaluate")
    called: list[int] = []

    def stage(number: int, score: float) -> Any:
        def run(path: str) -> dict[str, Any]:
            called.append(number)
            return {"combined_score": score, f"stage{number}": 1.0, "artifacts": {f"log{number}": "x"}}

        return run

    stages = SimpleNamespace(
        evaluate_stage1=stage(1, 0.6), evaluate_stage2=stage(2, 0.7), evaluate_stage3=stage(3, 9.0)
    )
    metrics, artifacts = module.cascade(stages, "program.py", [0.5, 0.75, 0.9])
    assert (called, metrics["combined_score"], sorted(artifacts)) == ([1, 2], 0.7, ["log1", "log2"])
    assert metrics["stage1"] == metrics["stage2"] == 1.0
    assert module.passes({"a": 1.0, "error": 5.0, "b": 0.0}, 0.5) and not module.passes({}, 0.5)


async def _later() -> dict[str, float]:
    return {"combined_score": 1.0}


def test_openevolve_results_of_every_form_are_read() -> None:
    module = runtime("openevolve_evaluate")
    from openevolve.evaluation_result import EvaluationResult  # type: ignore[import-not-found]

    assert module.split(module.wait(_later())) == ({"combined_score": 1.0}, {})
    assert module.split(EvaluationResult({"a": 1}, {"n": b"x"})) == ({"a": 1}, {"n": b"x"})
    assert module.split({"a": 1, "artifacts": {"n": "x"}}) == ({"a": 1}, {"n": "x"})
    assert module.flat({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "e": 3}
    with pytest.raises(evolve_task.Invalid, match="neither a dict nor a result"):
        module.split(0.5)


@pytest.mark.parametrize(
    ("correct", "metrics", "reason"),
    [
        ({"correct": False, "error": "too slow"}, {"combined_score": 1}, "too slow"),
        ({"correct": "true"}, {"combined_score": 1}, "calls it incorrect"),
        ({"correct": True}, {"combined_score": math.inf}, "no finite number"),
        ({"correct": True}, {"combined_score": True}, "no finite number"),
        ({"correct": True}, {}, "no finite number"),
    ],
)
def test_shinka_result_counts_only_if_it_is_correct_and_finite(
    correct: dict[str, Any], metrics: dict[str, Any], reason: str
) -> None:
    with pytest.raises(evolve_task.Invalid, match=reason):
        runtime("shinka_evaluate").result(correct, metrics, False)


def test_shinka_feedback_is_shown_only_if_the_settings_say_so() -> None:
    module = runtime("shinka_evaluate")
    metrics = {"combined_score": 1.0, "public": {"a": {"b": 1}}, "private": {"c": 2}, "text_feedback": "up"}
    assert module.result({"correct": True}, metrics, False) == {"a.b": 1, "combined_score": 1.0}
    assert module.result({"correct": True}, metrics, True)["feedback"] == "up"


def test_shinka_helper_stops_early_and_writes_both_files(tmp_path: Path) -> None:
    from shinka.core import run_shinka_eval  # type: ignore[import-not-found]

    program = tmp_path / "program.py"
    program.write_text("def run(seed):\n    return float(seed)\n")
    metrics, correct, error = run_shinka_eval(
        str(program), str(tmp_path / "out"), "run", 50,
        aggregate_metrics_fn=lambda found: {"combined_score": len(found)},
        early_stop_method="bayesian", early_stop_threshold=100.0,
    )  # fmt: skip
    assert (correct, error, metrics["combined_score"]) == (True, None, 3)
    assert metrics["early_stop"]["triggered"] and metrics["early_stop"]["prediction"] == "fails"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["correct.json", "metrics.json"]
    assert run_shinka_eval(str(program), str(tmp_path / "out"), "absent", 1)[1:] == (
        False,
        f"Experiment function 'absent' not found in {program}",
    )


@pytest.mark.parametrize("method", ["bayesian", "ci", "hybrid"])
def test_early_stops_decide_by_mean_and_error(method: str) -> None:
    from shinka.utils.eval_stop import create_early_stop_method  # type: ignore[import-not-found]

    rule = create_early_stop_method(method)
    assert not rule.check([1.0], 5.0).should_stop
    assert rule.check([1.0, 1.0, 1.0], 5.0).prediction == "fails"
    assert rule.check([9.0, 9.0, 9.0], 5.0).prediction == "beats"
    assert rule.check([1.0, 1.1, 0.9, 1.05], 5.0).prediction == "fails"
    assert rule.check([4.0, 6.0, 5.2], 5.0).prediction == "uncertain"
    chance = 1 - statistics.NormalDist(5.2, statistics.stdev([4.0, 6.0, 5.6]) / math.sqrt(3)).cdf(5.0)
    if method == "bayesian":
        assert math.isclose(rule.check([4.0, 6.0, 5.6], 5.0).confidence, chance)
    with pytest.raises(ValueError, match="Unknown early stop method"):
        create_early_stop_method("maybe")


@pytest.mark.parametrize(
    ("table", "number", "metrics"),
    [
        ('{"reward": 0.5, "speed": 2, "why": "x"}', "0.1", {"speed": 2, "combined_score": 0.5}),
        ('{"score": 1}', "", {"combined_score": 1}),
        ("{broken", "0.25\n", {"combined_score": 0.25}),
    ],
)
def test_reward_of_harbor(table: str, number: str, metrics: dict[str, Any]) -> None:
    module = runtime("container_evaluate")
    assert module.reward(f"\nreward json\n{table}\nreward txt\n{number}") == metrics
    with pytest.raises(evolve_task.Invalid, match="wrote no reward"):
        module.reward("\nreward json\n\nreward txt\n")


@pytest.mark.parametrize(
    ("said", "problem", "reason"),
    [
        ('{"status": "error", "artifacts": {"error": "negative"}}', evolve_task.Invalid, "negative"),
        ('{"status": "timeout"}', evolve_task.CandidateTimeout, "its time was up"),
        ('{"status": "success", "combined_score": NaN}', evolve_task.Invalid, "no finite number"),
        ("noise {}", evolve_task.Invalid, "printed no JSON object"),
    ],
)
def test_failure_that_a_container_of_skydiscover_tells(said: str, problem: type[Exception], reason: str) -> None:
    with pytest.raises(problem, match=reason):
        runtime("container_evaluate").scores(said)
