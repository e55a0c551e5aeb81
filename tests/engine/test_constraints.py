"""Constraints on metrics: what they may say, what breaks them, and what becomes of a node that does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.runs.changes import check_fitness, check_set
from engine.runs.resting import RestingRun
from engine.settings.constraints import breach_of, parse_constraints
from engine.settings.model import merge_settings
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import events, finish, make_run
from tests.engine.llm.test_prompts import context, prompt, request
from tests.engine.test_fitness import Run

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
HOLDS = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}


@given(st.sampled_from(list(HOLDS)), numbers, numbers, st.sampled_from(["parent", "seed", ""]), numbers, numbers)
def test_a_constraint_holds_as_its_comparison_does(
    op: str, value: float, before: float, node: str, factor: float, shift: float
) -> None:
    signed = f"- {-shift}" if shift < 0 else f"+ {abs(shift)}"
    text = f"{op} {node} * {factor} {signed}" if node else f" {op}{shift}"
    bound = before * factor + shift if node else shift
    others: dict[str, dict[str, Any]] = {"parent": {}, "seed": {}} | ({node: {"m": before}} if node else {})
    breach = breach_of({"m": text}, {"m": value}, others["parent"], others["seed"])
    assert (breach is None) == HOLDS[op](value, bound)
    if breach is not None:
        assert breach.reason.startswith(f"m = {value:.6g} breaks {op}") and breach.excess >= 0.0


@given(st.text(max_size=12))
def test_only_the_grammar_is_taken(text: str) -> None:
    try:
        found = parse_constraints(text)
    except ValueError as exc:
        assert "write a comparison and a bound" in str(exc) or "too large" in str(exc)
    else:
        assert all(item.text.startswith(("<", ">")) for item in found)


@pytest.mark.parametrize(
    "text",
    ["", "1000", "= 3", "<= child", "<= parent.loss", "<= parent * parent", "<= 1 + 1", "<= parent ** 2", ">= 1e999",
     "<= __import__('os')", "<= parent * 1.05,", "<= parents", "≥ 3", "<= nan", "<= 1_000"],
)  # fmt: skip
def test_anything_else_is_refused_by_the_name_of_its_metric(text: str) -> None:
    with pytest.raises(UsageError, match=r"require\.loss"):
        merge_settings(("test", {"fitness": {"require": {"loss": text}}}))


def test_several_bounds_and_missing_values() -> None:
    require = {"loss": ">= 0, < parent - 0.5", "speed": ">= seed * 0.5"}
    measured = {"loss": 1.0, "speed": 10.0}
    assert breach_of(require, measured, {"loss": 2.0}, {"speed": 20.0}) is None
    assert breach_of(require, measured, {}, {}) is None, "there is nothing for these bounds to follow from"
    breach = breach_of(require, {"loss": 1.0, "speed": 5.0}, {"loss": 1.5}, {"speed": 20.0})
    assert breach is not None and breach.reason == (
        "loss = 1 breaks < parent - 0.5 = 1; speed = 5 breaks >= seed * 0.5 = 10"
    )
    assert breach.excess == 0.5
    for missing in ({}, {"speed": math.nan}, {"speed": "fast"}, {"speed": True}):
        breach = breach_of({"speed": ">= 3"}, missing, {}, {})
        assert breach is not None and breach.excess == math.inf and "speed is missing" in breach.reason


# The fold


def test_what_breaks_a_constraint_is_kept_below_all_others_and_never_the_fittest() -> None:
    run = Run(fitness={"require": {"speed": ">= 100"}})
    slow, slower = run.add(3.0, speed=90.0), run.add(1.0, speed=50.0)
    assert run.state.fittest() is None and run.state.ranked == []
    nodes = run.state.nodes
    assert nodes[slower].fitness == -1.0 and nodes[slower].broken == "speed = 50 breaks >= 100"
    assert run.state.rank(slower) is None
    assert run.state.gained(slow, slower) and not run.state.gained(slower, slow), "the one that exceeds less is better"
    good = run.add(9.0, speed=100.0)
    assert run.state.fittest() is nodes[good] and run.state.gained(good, slow)
    assert not run.state.gained(slower, good) and run.state.rank(good) == 1
    lowest = [node.standing for node in (nodes[slower], nodes[slow], nodes[good])]
    assert lowest == sorted(lowest)  # type: ignore[type-var]
    # Without it the lower loss counts.
    run.apply(ev.SettingsChanged({"fitness": {"require": {"speed": ">= 0"}}}))
    assert run.state.fittest() is nodes[slower] and not any(node.broken for node in nodes)
    assert run.state.ranked == sorted(node.fitness for node in nodes)  # type: ignore[type-var]


def test_a_bound_that_follows_from_the_seed_is_known_when_the_seed_is_measured() -> None:
    run = Run(fitness={"require": {"loss": "<= seed * 1.5"}})
    for node in (0, 1):
        run.apply(ev.DesignDone("", "seed", "n", "", digest=str(node)), node, 0)
    run.apply(ev.EvalDone("ok", 3.0, {"loss": 3.0}), 1, 0)
    assert not run.state.nodes[1].broken
    run.apply(ev.EvalDone("ok", 1.0, {"loss": 1.0}), 0, 0)
    assert run.state.nodes[1].broken == "loss = 3 breaks <= seed * 1.5 = 1.5"


def test_constraints_that_every_node_breaks_are_refused() -> None:
    run = Run()
    seed = run.add(2.0, speed=90.0)
    run.apply(ev.BestCrowned(2.0), seed)
    check_fitness(run.state, check_set(run.state.settings, {"fitness": {"require": {"speed": ">= 90"}}}))
    with pytest.raises(UsageError, match="every node breaks") as caught:
        check_fitness(run.state, check_set(run.state.settings, {"fitness": {"require": {"speed": ">= 91"}}}))
    assert "speed = 90 breaks >= 91" in str(caught.value.hint)


def test_a_node_whose_gain_is_doubted_cannot_hold_constraints_alone() -> None:
    run = Run()
    seed, doubted = run.add(2.0, speed=90.0), run.add(1.0, speed=200.0)
    run.apply(ev.BestCrowned(2.0), seed)
    run.apply(ev.VerifyDone("quarantined"), doubted)
    with pytest.raises(UsageError, match="none could be the best"):
        check_fitness(run.state, check_set(run.state.settings, {"fitness": {"require": {"speed": ">= 100"}}}))


# What designers are told


def test_designers_are_told_the_constraints_and_what_the_parent_breaks() -> None:
    parent = context(3, "A = 1\n", 2.5)
    parent = type(parent)(**{**parent.__dict__, "broken": "speed = 5 breaks >= 10"})
    asked = request()
    system, user = prompt(type(asked)(**{**asked.__dict__, "parent": parent, "require": {"speed": ">= 10"}}))
    assert "speed >= 10." in system.content and "unless all of this holds" in system.content
    assert "cannot be the best" in user.content and "speed = 5 breaks >= 10" in user.content
    system, user = prompt(asked)
    assert "cannot be the best" not in system.content + user.content


# A run

EVALUATE = """\
import runpy


def evaluate(program_path):
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2, "x": x}
"""


def test_a_run_finds_its_way_in_crowns_nothing_that_breaks_a_constraint_and_shows_why(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    toml = '[run.fitness.require]\nx = ">= 1.2, <= 1.6"\n'
    run = make_run(make_task(evaluate=EVALUATE, toml=toml), tmp_path / "runs", rounds=20, workers=1)
    state = finish(run)
    crowned = [event.node for event in events(run, ev.BestCrowned)]
    broken = [node for node in state.nodes if node.broken]
    assert state.nodes[0] in broken and crowned and not any(node.id in crowned for node in broken)
    best = state.best_node
    assert best is not None and 1.2 <= best.metrics["x"] <= 1.6
    assert all(node.score is not None and not 1.2 <= node.metrics["x"] <= 1.6 for node in broken)
    assert all(node.lesson.startswith("x = ") and "cannot be the best" in node.lesson for node in broken)
    shown = evolve("show", run.name, broken[0].id, "--runs", tmp_path / "runs").out
    assert f"not the best, whatever its score: {broken[0].broken}" in shown and "marks: broken" in shown
    table = evolve("show", run.name, "--filter", "is:broken", "--runs", tmp_path / "runs").out
    assert f"{len(broken)} of {len(state.nodes)} nodes" in table


def test_an_engine_crowns_what_an_earlier_one_had_no_time_to(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=EVALUATE), tmp_path / "runs", rounds=6, workers=1)
    best = finish(run).best_node
    assert best is not None and best.id
    # It was killed after the new constraint was on the disk.
    with RestingRun(run) as resting:
        resting.write([(ev.SettingsChanged({"fitness": {"require": {"score": "<= seed"}}}), None)])
    state = finish(run)
    assert state.nodes[best.id].broken and state.best == state.fittest().id  # type: ignore[union-attr]
    crowned = events(run, ev.BestCrowned)
    assert crowned[-1].node == state.best != best.id and state.best_steps[-1].seq == crowned[-1].seq
    finish(run)
    assert len(events(run, ev.BestCrowned)) == len(crowned), "once is enough"
