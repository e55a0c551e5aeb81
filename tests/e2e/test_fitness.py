"""Fitness and design modes in real runs: other weights change the best node; failures are fixed."""

from __future__ import annotations

import json
from pathlib import Path

from engine.journal import events as ev
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import check_integrity, events, finish, fold, make_run, start_engine, wait_for

EVALUATE = """\
import runpy
import time


def evaluate(program_path):
    time.sleep(0.1)
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2, "x": x + 10.0}
"""
FRAGILE = """\
import runpy


def evaluate(program_path):
    x, y = runpy.run_path(program_path)["point"]()
    if x > 1.1:
        raise ValueError(f"x is {x}")
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2}
"""


def test_other_weights_change_best_node_of_same_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=EVALUATE), tmp_path / "runs", rounds=500, workers=2)
    engine = start_engine(run)
    where = ("--runs", tmp_path / "runs")

    def scored() -> int:
        return sum(node.score is not None for node in fold(run).nodes)

    wait_for(lambda: scored() > 6, "some scores")
    parts = '{x = {direction = "minimize"}}'
    told = evolve("set", run.name, "fitness.kind=composite", f"fitness.parts={parts}", *where)
    assert told.code == 0, told.err
    refused = evolve("set", run.name, "fitness.judge=0.5", *where)
    assert refused.code != 0 and "it was not judged" in refused.err
    refused = evolve("set", run.name, 'fitness.parts.speed={direction = "maximize"}', *where)
    assert refused.code != 0 and "lacks a part of that fitness" in refused.err
    before = scored()
    wait_for(lambda: scored() > before + 3, "scores under the other weights")
    assert evolve("stop", run.name, *where).code == 0
    engine.wait(90)
    state = fold(run)
    check_integrity(run)
    lowest = min((node for node in state.nodes if node.score is not None), key=lambda node: node.metrics["x"])
    assert state.best_node is not None and state.best_node.metrics["x"] == lowest.metrics["x"]
    changed = next(event.seq for event in events(run, ev.SettingsChanged))
    crowned = [event for event in events(run, ev.BestCrowned) if event.seq > changed]
    # The first of them was not measured anew: it follows from what was recorded.
    assert not [event for event in events(run, ev.EvalDone) if changed < event.seq < crowned[0].seq]
    shown = json.loads(evolve("show", run.name, str(state.best), "--json", *where).out)
    assert shown["fitness"] == state.best_node.fitness


def test_fix_and_crossover_follow_mode_weights(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(
        make_task(evaluate=FRAGILE),
        tmp_path,
        rounds=30,
        # With several, which failure is taken up depends on what ends first, and not every failure can be mended.
        workers=1,
        designer={"modes": {"diff": 0.2, "crossover": 0.4, "fix": 0.4}},
    )
    state = finish(run)
    learned = {event.round: event.data for event in events(run, ev.LearnDone)}
    modes = [data.mode for data in learned.values() if isinstance(data, ev.LearnDone)]
    # recombine writes nothing anew, whatever weight that has.
    assert set(modes) == {"diff", "crossover", "fix"}
    mended = [data.parent for data in learned.values() if isinstance(data, ev.LearnDone) and data.mode == "fix"]
    assert all(state.nodes[parent].status == "crashed" for parent in mended)
    assert len(set(mended)) == len(mended), "a failure is taken up once"
    made = [node for node in state.nodes if node.parents and node.parents[0] in mended]
    assert made and any(node.status == "ok" for node in made)
