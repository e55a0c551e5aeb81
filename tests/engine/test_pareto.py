"""Several objectives: fronts and hypervolume against brute force, what is the best, and parents from the front."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.samplers.nsga2 import NSGA2, crowding_distances
from engine.settings.fitness import FitnessPart, FitnessSettings, fitness_of, point_of
from engine.settings.model import merge_settings
from engine.state.fronts import DEPTH
from engine.state.hypervolume import Point, added_volume, dominates
from engine.state.timeline import copy_state
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import events, finish, fold, make_run
from tests.engine.test_fitness import Run

NAMES = ("a", "b", "c")


def parts(count: int) -> dict[str, Any]:
    """Objectives whose coordinates are the metrics themselves."""
    return {name: {"direction": "maximize", "reference": 0.0} for name in NAMES[:count]}


def front_run(count: int, **more: Any) -> Run:
    return Run(fitness={"kind": "pareto", "parts": parts(count), **more})


def cells(points: list[Point]) -> int:
    """The hypervolume of points with whole coordinates: how many unit cells any of them is above."""
    inside = {cell for point in points for cell in product(*(range(max(0, int(place))) for place in point))}
    return len(inside)


def layers(points: dict[int, Point]) -> list[set[int]]:
    """Fronts by the definition: what nothing left dominates, again and again."""
    left, found = dict(points), []
    while left:
        front = {one for one in left if not any(dominates(other, left[one]) for other in left.values())}
        found.append(front)
        left = {node: point for node, point in left.items() if node not in front}
    return found


@st.composite
def clouds(draw: Any) -> tuple[int, list[Point]]:
    count = draw(st.sampled_from([2, 3]))
    return count, draw(st.lists(st.tuples(*[st.integers(-1, 5).map(float)] * count), min_size=1, max_size=40))


@given(clouds())
def test_fronts_and_hypervolume_of_a_growing_run_are_those_by_the_definition(cloud: tuple[int, list[Point]]) -> None:
    count, points = cloud
    run, state = front_run(count), None
    for number, point in enumerate(points):
        run.add(9.0, **dict(zip(NAMES, point, strict=False)))
        state = run.state
        known = {node.id: node.point for node in state.nodes if node.point is not None}
        assert list(map(set, state.fronts)) == layers(known)[:DEPTH]
        assert all(state.nodes[node].front == at for at, front in enumerate(state.fronts, 1) for node in front) and sum(
            node.front is not None for node in state.nodes
        ) == sum(map(len, state.fronts))
        before = cells(points[:number])
        assert state.hypervolume == pytest.approx(cells(points[: number + 1]))
        assert (state.nodes[-1].hypervolume is not None) == (cells(points[: number + 1]) > before)
    assert state is not None
    risen = [step.hypervolume for step in state.front_steps]
    assert risen == sorted(risen) and (not risen or risen[-1] == state.hypervolume)


@given(clouds(), st.data())
def test_what_is_measured_again_or_quarantined_leaves_the_fronts_as_if_it_had_never_been_so(
    cloud: tuple[int, list[Point]], data: Any
) -> None:
    count, points = cloud
    run = front_run(count)
    for point in points:
        run.add(9.0, **dict(zip(NAMES, point, strict=False)))
    for node in data.draw(st.lists(st.integers(0, len(points) - 1), max_size=4)):
        if data.draw(st.booleans()):
            run.apply(ev.VerifyDone("quarantined"), node)
        again = data.draw(st.tuples(*[st.integers(-1, 5).map(float)] * count))
        run.apply(ev.EvalDone("ok", 9.0, dict(zip(NAMES, again, strict=False))), node)
    state = run.state
    known = {node.id: node.point for node in state.nodes if node.point is not None and not node.quarantined}
    assert list(map(set, state.fronts)) == layers(known)[:DEPTH]
    assert state.hypervolume == pytest.approx(cells(list(known.values())))
    twin = copy_state(state)
    assert (twin.fronts, twin.front_steps) == (state.fronts, state.front_steps)
    run.add(9.0, a=6.0, b=6.0, c=6.0)
    assert twin.fronts != state.fronts and twin.hypervolume < state.hypervolume


@given(st.lists(st.tuples(*[st.floats(0.01, 10.0)] * 3), min_size=1, max_size=6))
@settings(deadline=None)
def test_hypervolume_of_any_points_is_that_by_inclusion_and_exclusion(points: list[Point]) -> None:
    volume = math.fsum(
        (-1) ** (bits.bit_count() + 1)
        * math.prod(map(min, zip(*[p for at, p in enumerate(points) if bits >> at & 1], strict=True)))
        for bits in range(1, 1 << len(points))
    )
    total = 0.0
    for number, point in enumerate(points):
        total += added_volume(point, points[:number])
    assert total == pytest.approx(volume, rel=1e-9)


# What it is worth


def test_a_point_counts_from_the_stated_reference_or_from_the_seed() -> None:
    front = FitnessSettings("pareto", parts={"loss": FitnessPart("minimize"), "speed": FitnessPart("maximize")})
    seed = {"loss": 2.0, "speed": 100.0}
    assert point_of(front, seed, seed) == (1.0, 1.0) and fitness_of(front, "loss", "minimize", seed, seed, None) == 1.0
    assert point_of(front, {"loss": 1.0, "speed": 150.0}, seed) == (1.5, 1.5)
    assert point_of(front, {"loss": 4.0, "speed": 0.0}, seed) == (0.0, 0.0)
    beyond = {"loss": 5.0, "speed": 1000.0}
    assert fitness_of(front, "loss", "minimize", beyond, seed, None) == -0.5
    stated = FitnessSettings(
        "pareto", parts={"loss": FitnessPart("minimize", reference=4.0), "speed": FitnessPart("maximize")}
    )
    assert point_of(stated, {"loss": 1.0, "speed": 150.0}, seed) == (3.0, 1.5)
    assert point_of(front, {"loss": 1.0}, seed) is None and point_of(FitnessSettings(), seed, seed) is None


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"kind": "pareto"}, "two or three objectives"),
        ({"kind": "pareto", "parts": {"a": {"direction": "maximize"}}}, "two or three objectives"),
        ({"kind": "pareto", "parts": parts(2), "judge": 0.5}, "judge"),
        ({"parts": {"a": {"direction": "maximize", "reference": math.inf}}}, "reference"),
    ],
)
def test_impossible_fronts_are_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        merge_settings(("test", {"fitness": setting}))


def test_the_best_is_the_balanced_node_and_what_raises_the_hypervolume_has_gained() -> None:
    run = front_run(2, require={"a": "<= 8"})
    state = run.state
    seed, balanced = run.add(1.0, a=2.0, b=2.0), run.add(1.0, a=4.0, b=4.0)
    steep, worse, forbidden = run.add(1.0, a=7.0, b=1.0), run.add(1.0, a=3.0, b=3.0), run.add(1.0, a=9.0, b=9.0)
    assert state.fittest() is state.nodes[balanced] and state.fronts[0] == (balanced, steep)
    assert state.nodes[steep].fitness == 7.0 < state.nodes[balanced].fitness  # type: ignore[operator]
    assert state.gained(steep, balanced) and not state.gained(worse, balanced) and state.gained(worse, seed)
    assert state.nodes[forbidden].front is None and state.hypervolume == 16 + 3
    run.apply(ev.SettingsChanged({"fitness": {"kind": "score", "parts": {}}}))
    assert not state.fronts and state.hypervolume == 0.0 and all(node.point is None for node in state.nodes)


def test_numbers_too_large_to_be_ranked_are_on_no_front() -> None:
    run = front_run(2)
    run.add(1.0, a=2.0, b=2.0)
    huge = run.add(1.0, a=1e200, b=1e200)
    assert run.state.nodes[huge].fitness is None and run.state.nodes[huge].front is None
    assert run.state.fronts == [(0,)] and run.state.hypervolume == 4.0


def test_only_a_rise_of_the_hypervolume_starts_the_wait_anew() -> None:
    run = front_run(2)
    state = run.state
    run.add(1.0, a=2.1, b=2.3)
    for number in range(1, 3 + DEPTH):
        run.apply(ev.RoundStarted(), round=number)
        run.add(1.0, a=2.1 + number, b=2.3 + number)
        run.apply(ev.RoundEnded("node"), round=number)
    before, low = state.rounds_at_best, 1
    run.apply(ev.RoundStarted(), round=99)
    run.apply(ev.RoundEnded("no_design"), round=99)
    assert state.nodes[low].front is None and state.nodes[low].hypervolume is not None
    for node in (low, len(state.nodes) - 1):
        run.apply(ev.EvalDone("ok", 1.0, {**state.nodes[node].metrics}), node, 1)
        assert state.rounds_at_best == before, "the same results raise nothing"
    run.apply(ev.EvalDone("ok", 1.0, {"a": 99.0, "b": 99.0, "loss": 1.0}), low, 1)
    assert state.rounds_at_best == state.rounds_done > before


# Parents


def test_crowding_distance_is_that_of_the_paper() -> None:
    points = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding_distances(points).tolist() == [math.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]
    assert crowding_distances(points[:2]).tolist() == [math.inf] * 2
    assert crowding_distances(np.ones((4, 2))).tolist().count(0.0) == 2


def test_tournaments_are_won_by_front_then_by_crowding() -> None:
    run = front_run(2)
    sampler = NSGA2(keep=5)
    first = [(0.0, 4.0), (1.9, 2.1), (2.0, 2.0), (4.0, 0.0)]
    for a, b in [*first, (1.0, 1.0), (0.5, 0.5)]:
        node = run.add(1.0, a=a, b=b)
        sampler.apply(ev.Event(run.state.seq, 0, 1, node, run_done(run, node)), run.state)
    drawn = Counter(
        sample.parent for seed in range(600) if (sample := sampler.sample(run.state, 2, random.Random(seed)))
    )
    # Two draws of five: the ends win against all; the crowded ones against what they dominate, and themselves.
    assert 5 not in drawn and drawn[4] < drawn[2] < drawn[0] and drawn[1] < drawn[3]
    assert drawn[4] == pytest.approx(600 / 25, abs=15) and drawn[0] + drawn[3] == pytest.approx(600 * 16 / 25, abs=60)
    sample = sampler.sample(run.state, 2, random.Random(1))
    assert sample is not None and sample.why.startswith("nsga2, front 1, 4 on it, crowding ")
    for node in (0, 1, 2, 3):
        run.apply(ev.NodePruned(), node)
        sampler.apply(ev.Event(run.state.seq, 0, 1, node, ev.NodePruned()), run.state)
    sample = sampler.sample(run.state, 2, random.Random(1))
    assert sample is not None and {sample.parent, *sample.inspirations} == {4, 5}


def run_done(run: Run, node: int) -> ev.EvalDone:
    return ev.EvalDone("ok", run.state.nodes[node].score, run.state.nodes[node].metrics)


# A run

EVALUATE = """\
import runpy


def evaluate(program_path):
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": 100 - (x - 3.0) ** 2 - (y - 1.0) ** 2, "near": 100 - (x + 1.0) ** 2 - (y - 1.0) ** 2}
"""
TOML = """
[run.sampler]
name = "nsga2"
[run.fitness]
kind = "pareto"
[run.fitness.parts]
score = {direction = "maximize", reference = 0}
near = {direction = "maximize", reference = 0}
"""


def test_a_run_finds_a_front_and_shows_it(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=EVALUATE, toml=TOML), tmp_path / "runs", rounds=20, workers=1)
    state = finish(run)
    assert len(state.fronts[0]) > 1 and len(state.front_steps) > 1
    best = state.best_node
    assert (
        best is not None
        and best.front == 1
        and best.fitness == max(node.fitness for node in state.nodes if node.fitness is not None)
    )
    learned = [event.data for event in events(run, ev.LearnDone)]
    why = [data.why for data in learned if isinstance(data, ev.LearnDone)]
    assert len(why) == 20 and all(said.startswith(("nsga2, front ", "nsga2, by fitness")) for said in why)
    assert sum(said.startswith("nsga2, front ") for said in why) > 10
    where = ("--runs", tmp_path / "runs")
    shown = evolve("show", run.name, *where).out
    assert f"front of {len(state.fronts[0])} nodes, hypervolume {state.hypervolume:.10g}: " in shown
    found = evolve("show", run.name, "--json", *where).json
    assert found["front"] == sorted(state.fronts[0]) and found["hypervolume"] == state.hypervolume
    assert "front 1" in evolve("show", run.name, best.id, *where).out
    assert evolve("show", run.name, best.id, "--json", *where).json["front"] == 1
    assert fold(run).fronts == state.fronts
