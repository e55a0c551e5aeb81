"""Fitness from recorded parts: formulas, missing parts, ranking anew."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.settings.fitness import FitnessPart, FitnessSettings, fitness_of, least_gain
from engine.settings.model import Settings, merge_settings
from engine.state.fold import apply
from engine.state.run_state import RunState

NUMBERS = st.floats(-1e6, 1e6)


def of(
    settings: FitnessSettings, measured: dict[str, Any], judge: float | None = None, **baseline: Any
) -> float | None:
    return fitness_of(settings, "score", "maximize", measured, baseline, judge)


@given(NUMBERS, st.floats(0, 1), st.floats(0, 1), st.sampled_from(["maximize", "minimize"]))
def test_judge_has_its_share_of_fitness(score: float, mark: float, share: float, direction: str) -> None:
    settings = FitnessSettings(judge=share)
    found = fitness_of(settings, "score", direction, {"score": score}, {}, mark)
    turned = score if direction == "maximize" else -score
    assert found == pytest.approx((1 - share) * turned + share * mark)


def test_composite_is_mean_of_sigmoids_of_relative_gains() -> None:
    parts = {"loss": FitnessPart("minimize"), "recall": FitnessPart("maximize", weight=3.0)}
    settings = FitnessSettings(kind="composite", parts=parts, sharpness=10)
    assert of(settings, {"loss": 2.0, "recall": 0.5}, loss=2.0, recall=0.5) == pytest.approx(0.5)
    found = of(settings, {"loss": 1.8, "recall": 0.45}, loss=2.0, recall=0.5)
    better, worse = 1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(1.0))
    assert found == pytest.approx((better + 3 * worse) / 4)
    # Two parts and the judge, a third each, as published.
    third = FitnessSettings(kind="composite", parts={name: FitnessPart("maximize") for name in "ab"}, judge=1 / 3)
    assert of(third, {"a": 1.1, "b": 1.0}, 0.9, a=1.0, b=1.0) == pytest.approx((better + 0.5 + 0.9) / 3)


@given(st.dictionaries(st.sampled_from("abc"), NUMBERS), NUMBERS, NUMBERS)
def test_larger_part_never_lowers_fitness(rest: dict[str, float], low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    parts = {name: FitnessPart("maximize") for name in [*rest, "x"]}
    settings = FitnessSettings(kind="composite", parts=parts)
    values = [of(settings, {**rest, "x": value}, **{**rest, "x": 1.0}) for value in (low, high)]
    assert values[0] is not None and values[1] is not None
    assert 0 <= values[0] <= values[1] <= 1


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, "0.5", True, 10**400])
def test_failed_part_counts_as_failed_not_neutral(broken: object) -> None:
    parts = {"loss": FitnessPart("minimize"), "recall": FitnessPart("maximize")}
    settings = FitnessSettings(kind="composite", parts=parts)
    measured = {"loss": 1.0, "recall": 0.5}
    assert of(settings, {**measured, "recall": broken}, **measured) is None
    assert of(settings, measured, **{**measured, "loss": broken}) is None
    # A part without a weight is not asked for.
    without = FitnessSettings(kind="composite", parts={**parts, "recall": FitnessPart("maximize", weight=0.0)})
    assert of(without, {**measured, "recall": broken}, **measured) == pytest.approx(0.5)
    assert of(FitnessSettings(judge=0.2), {"score": 1.0}, None) is None
    assert of(FitnessSettings(), {"score": 1.0}, None) == 1.0


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"judge": 1.5}, "judge"),
        ({"kind": "mean"}, "composite"),
        ({"sharpness": 0}, "sharpness"),
        ({"parts": {"loss": {"direction": "minimize", "weight": 0}}}, "parts"),
        ({"parts": {"loss": {"weight": 1}}}, "direction"),
        ({"parts": {"loss": {"direction": "minimize", "weight": -1}}}, "weight"),
    ],
)
def test_invalid_settings_are_named_by_key(setting: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=key):
        merge_settings(("test", {"fitness": setting}))


def test_min_gain_has_units_of_score() -> None:
    assert least_gain(FitnessSettings(), 0.1) == 0.1
    assert least_gain(FitnessSettings(judge=0.25), 0.1) == pytest.approx(0.075)
    assert least_gain(FitnessSettings(kind="composite"), 0.1) == 0.0


class Run:
    """A fold of made-up results."""

    def __init__(self, **settings: Any) -> None:
        merged = msgspec.to_builtins(merge_settings(("test", settings)))
        start = ev.RunStarted("t", merged, {"name": "t", "direction": "minimize", "metric": "loss"}, {})
        self.state = RunState(ev.Event(1, 0, None, None, start))

    def apply(self, data: ev.Data, node: int | None = None, round: int = 1) -> None:
        apply(self.state, ev.Event(self.state.seq + 1, self.state.seq, round, node, data))

    def add(self, loss: float, judge: float | None = None, **metrics: float) -> int:
        node = len(self.state.nodes)
        self.apply(ev.DesignDone("", "tune", "n", "", digest=str(node)), node, min(node, 1))
        self.apply(ev.EvalDone("ok", loss, {**metrics, "loss": loss}, judge=judge), node)
        return node


def test_other_weights_rank_measured_nodes_anew() -> None:
    run = Run()
    seed, fast, good = run.add(2.0, 0.5, speed=100.0), run.add(2.1, 0.9, speed=300.0), run.add(1.5, 0.5, speed=90.0)

    def order() -> list[int]:
        ranked = sorted(run.state.nodes, key=lambda node: node.fitness or 0.0, reverse=True)
        return [node.id for node in ranked]

    assert order() == [good, seed, fast] and run.state.fittest() is run.state.nodes[good]
    parts = {"loss": {"direction": "minimize"}, "speed": {"direction": "maximize", "weight": 2.0}}
    run.apply(ev.SettingsChanged({"fitness": {"kind": "composite", "parts": parts}}))
    assert order()[0] == fast and run.state.nodes[seed].fitness == 0.5
    run.apply(ev.SettingsChanged({"fitness": {"kind": "score", "judge": 0.9}}))
    assert order() == [fast, good, seed]
    assert run.state.gained(good, seed) and not run.state.gained(seed, good) and run.state.gained(seed, None)
    # Who was not judged has no place in it.
    alone = run.add(0.1)
    assert run.state.nodes[alone].fitness is None and not run.state.gained(alone, seed)
    run.apply(ev.SettingsChanged({"fitness": {"judge": 0.0}}))
    assert order()[0] == alone


def test_late_or_new_baseline_ranks_all_nodes_anew() -> None:
    run = Run(fitness={"kind": "composite"})
    for node in (0, 1):
        run.apply(ev.DesignDone("", "seed", "n", "", digest=str(node)), node, 0)
    run.apply(ev.EvalDone("ok", 1.0, {"loss": 1.0}), 1, 0)
    assert run.state.nodes[1].fitness is None
    run.apply(ev.EvalDone("ok", 2.0, {"loss": 2.0}), 0, 0)
    first = run.state.nodes[1].fitness
    assert first is not None and first > 0.9 and run.state.nodes[0].fitness == 0.5
    run.apply(ev.EvalDone("ok", 0.5, {"loss": 0.5}), 0, 0)
    assert run.state.nodes[1].fitness is not None and run.state.nodes[1].fitness < 0.1


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_ranking_anew_equals_ranking_from_start(seed: int, share: float) -> None:
    rng = random.Random(seed)
    late, early = Run(), Run(fitness={"judge": share})
    for _ in range(8):
        loss, mark = rng.uniform(-3, 3), rng.choice([None, rng.random()])
        late.add(loss, mark)
        early.add(loss, mark)
    late.apply(ev.SettingsChanged({"fitness": {"judge": share}}))
    assert [node.fitness for node in late.state.nodes] == [node.fitness for node in early.state.nodes]
    assert late.state.settings == msgspec.structs.replace(Settings(), fitness=FitnessSettings(judge=share))
