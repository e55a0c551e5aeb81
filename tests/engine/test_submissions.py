"""What a journal says of evaluations on a cluster: what is in flight, what was lost, and which machines measured."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.journal import events as ev
from engine.settings.model import Settings
from engine.state.fold import apply, fold
from engine.state.node import Submitted
from engine.state.run_state import RunState
from engine.state.submissions import machines_differ
from engine.task.spec import TaskSpec
from tui.model.rounds import work_lines

NAME = "0-explore-0"


def run_with(*data: ev.Data, noisy: bool = False) -> RunState:
    """Fold a run whose node 0 is being measured, and what follows."""
    spec = TaskSpec(name="t", direction="maximize", noisy=noisy)
    start = ev.RunStarted("t", msgspec.to_builtins(Settings()), msgspec.to_builtins(spec), {"seed.py": "0" * 64})
    engine = ev.EngineStarted(1, "here", "bubblewrap", "guarded", 3, 1, "recombine")
    first = [start, engine, ev.RoundStarted(), designed(), ev.EvalStarted("explore")]
    return fold([event(seq, item) for seq, item in enumerate([*first, *data], 1)])


def designed(*parents: int) -> ev.DesignDone:
    return ev.DesignDone("0" * 64, "seed", "a name", "", parents=list(parents))


def event(seq: int, data: ev.Data, node: int = 0) -> ev.Event:
    return ev.Event(seq, seq, node, node, data)


def add(state: RunState, data: ev.Data, node: int = 0) -> None:
    apply(state, event(state.seq + 1, data, node))


def detail(state: RunState) -> str:
    return work_lines(state)[0].detail


def test_submission_is_known_until_its_result_is_recorded() -> None:
    state = run_with(ev.EvalSubmitted(NAME, "k", 0, "ray"))
    assert "waits for a machine" in detail(state)
    add(state, ev.EvalPlaced(NAME, "k", 0, "handle", "alpha"))
    assert state.submitted == {NAME: Submitted("k", 0, "handle", "alpha")}
    assert "on alpha" in detail(state)
    add(state, ev.EvalLost(NAME, "k", 0, "alpha", "it died"))
    assert state.losses == {"alpha": 1} and "on alpha" not in detail(state)
    add(state, ev.EvalSubmitted(NAME, "k", 1, "ray"))
    # A late word of the first attempt changes nothing.
    add(state, ev.EvalPlaced(NAME, "k", 0, "late", "alpha"))
    assert state.submitted == {NAME: Submitted("k", 1, avoid=("alpha",))}
    add(state, ev.EngineStarted(2, "here", "bubblewrap", "guarded", 3, 1, "recombine"))
    assert state.submitted, "the next engine adopts it"
    add(state, ev.EvalStageDone("explore", "ok", score=1.0))
    assert not state.submitted


def test_fork_has_no_submissions_of_the_other_run() -> None:
    state = run_with(ev.EvalSubmitted(NAME, "k", 0, "ray"), ev.RunForked("/other", 6))
    assert not state.submitted


def test_best_of_another_machine_is_told_if_scores_depend_on_it() -> None:
    def measured(noisy: bool, machine: str) -> str:
        facts: dict[str, Any] = {"cpu": "old", "cores": "2"}
        seen = [ev.MachineSeen("a", "alpha", facts), ev.MachineSeen("b", "beta", {**facts, "cpu": "new"})]
        done = ev.EvalStageDone("explore", "ok", score=1.0, machine="a")
        state = run_with(*seen, done, ev.EvalDone("ok", 1.0), noisy=noisy)
        add(state, ev.RoundStarted(), 1)
        add(state, designed(0), 1)
        add(state, ev.EvalStageDone("explore", "ok", score=2.0, machine=machine), 1)
        return machines_differ(state, 1)

    assert measured(True, "b") == "measured on another machine than its parent #0: cpu old → new"
    assert measured(True, "a") == measured(False, "b") == ""
