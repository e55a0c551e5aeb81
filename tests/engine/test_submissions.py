"""What a journal says of evaluations on a cluster: what is in flight, what was lost, and which machines measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.errors import UsageError
from engine.evaluation.executors.base import Submission
from engine.journal import events as ev
from engine.loop.stages.records import StageRecord
from engine.runs.effects import EFFECTS
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


@pytest.mark.parametrize(
    ("key", "attempt", "known"),
    [
        ("0-explore-0-3fa9", 2, True),
        ("../../precious", 0, False),
        ("/home/precious", 0, False),
        ("..", 0, False),
        ("", 0, False),
        ("x\n", 0, False),
        ("x", -1, False),
        ("x" * 201, 0, False),
    ],
)
def test_key_that_no_engine_made_names_no_files(key: str, attempt: int, known: bool) -> None:
    session: Any = SimpleNamespace(state=run_with(ev.EvalSubmitted(NAME, key, attempt, "slurm")))
    last = StageRecord(session, session.state.nodes[0], "explore", 0).last_submission()
    assert last == (Submission(key, attempt) if known else None)


def test_submission_is_known_until_its_result_is_recorded() -> None:
    state = run_with(ev.EvalSubmitted(NAME, "k", 0, "ray"))
    assert "waits for a machine" in detail(state)
    add(state, ev.EvalPlaced(NAME, "k", 0, "handle", "alpha"))
    assert state.submitted == {NAME: Submitted("k", 0, "handle", "alpha", executor="ray")}
    assert "on alpha" in detail(state)
    add(state, ev.EvalLost(NAME, "k", 0, "alpha", "it died"))
    assert state.losses == {"alpha": 1} and "on alpha" not in detail(state)
    add(state, ev.EvalSubmitted(NAME, "k", 1, "ray"))
    # A late word of the first attempt changes nothing.
    add(state, ev.EvalPlaced(NAME, "k", 0, "late", "alpha"))
    assert state.submitted == {NAME: Submitted("k", 1, avoid=("alpha",), executor="ray")}
    following = ev.EngineStarted(2, "here", "bubblewrap", "guarded", 3, 1, "recombine", executor="ray")
    add(state, following)
    assert state.submitted, "the next engine adopts it"
    add(state, ev.EvalStageDone("explore", "ok", score=1.0))
    assert not state.submitted
    # One that evaluates elsewhere adopts nothing.
    add(state, ev.EvalSubmitted(NAME, "k", 0, "ray"))
    add(state, msgspec.structs.replace(following, executor="slurm"))
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


class Asked:
    """A run as commands see it, whose nodes 0 and 1 were measured on machines of two kinds."""

    goes_on = True

    def __init__(self) -> None:
        done = ev.EvalStageDone("explore", "ok", score=1.0, host="alpha", machine="a")
        cluster = ev.ClusterChanged([ev.ClusterMachine("alpha", 2), ev.ClusterMachine("beta", 2)])
        self.state = run_with(cluster, done, ev.EvalDone("ok", 1.0))
        self.add(ev.RoundStarted(), designed(0), ev.EvalStarted("explore"))
        self.add(msgspec.structs.replace(done, host="beta", machine="b"), ev.EvalDone("ok", 1.0))

    def add(self, *data: ev.Data) -> None:
        for item in data:
            add(self.state, item, 1)

    @property
    def spec(self) -> TaskSpec:
        return self.state.spec

    def text(self, sha256: str) -> str:
        return ""

    def past_of(self, node: int) -> list[ev.Event]:
        return [event(1, ev.EvalStageDone("explore", "ok", score=1.0), node)]


def test_node_and_its_parent_are_measured_again_on_one_machine() -> None:
    run = Asked()
    asked = EFFECTS["rerun"](run, {"node": 1, "on": "beta"})
    assert asked.effects == [(ev.NodeRerun(1, "beta"), 1), (ev.NodeRerun(1, "beta"), 0)]
    assert asked.text == "node 1 and its parent 0 are measured once more on beta"
    assert EFFECTS["rerun"](run, {"node": 1}).effects == [(ev.NodeRerun(1), 1)]
    with pytest.raises(UsageError, match=r"no machine 'gamma' to measure on. Its machines are: alpha, beta"):
        EFFECTS["rerun"](run, {"node": 1, "on": "gamma"})
    run.add(ev.NodeRerun(1, "beta"))
    assert run.state.evaluations[1].on == "beta" and run.state.nodes[1].host == "beta"
    # Of one that is being measured anyway, or whose parent was measured on that kind, no more is asked.
    add(run.state, ev.NodeRerun(1), 0)
    run.state.evaluations.pop(1)
    assert [node for _, node in EFFECTS["rerun"](run, {"node": 1, "on": "beta"}).effects] == [1]
