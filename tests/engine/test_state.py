"""RunState: folding in parts equals folding at once, and a run that was cut off keeps its phase."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.settings.model import Settings
from engine.state.attempts import Attempts, count_child
from engine.state.fold import apply, fold
from engine.state.limits import limit_reached
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec

SPEC = TaskSpec(name="t", direction="maximize")
STATUSES: list[ev.Status] = ["ok", "rejected", "invalid", "crashed", "timeout"]


def started() -> ev.RunStarted:
    return ev.RunStarted(
        task="t", settings=msgspec.to_builtins(Settings()), spec=msgspec.to_builtins(SPEC), files={"seed.py": "0" * 64}
    )


class Script:
    """Writes a plausible journal from a list of numbers."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.nodes = 0

    def add(self, data: ev.Data, round: int | None = None, node: int | None = None) -> None:
        seq = len(self.events) + 1
        self.events.append(ev.Event(seq, seq * 10, round, node, data))

    def design(self, round: int, parents: list[int]) -> int:
        node = self.nodes
        self.nodes += 1
        self.add(
            ev.DesignDone(
                program=f"{node:064x}", operator="tune", name=f"n{node}", motivation="", parents=parents,
                digest=f"{node % 7}",
            ),
            round, node,
        )  # fmt: skip
        return node

    def evaluate(self, round: int, node: int, status: ev.Status, score: float | None) -> None:
        self.add(ev.EvalStarted("explore"), round, node)
        self.add(ev.EvalProgress("explore", 1.0, {"loss": 2.0}), round, node)
        self.add(ev.EvalStageDone("explore", status, score=score, stderr_blob="e" * 64), round, node)
        self.add(ev.EvalDone(status, score, {"m": score}), round, node)


@st.composite
def journals(draw: Any) -> list[ev.Event]:
    script = Script()
    script.add(started())
    script.add(ev.EngineStarted(1, "h", "bubblewrap", "guarded", 4, 2, "recombine"))
    script.add(ev.RoundStarted(), 0)
    seed = script.design(0, [])
    script.evaluate(0, seed, "ok", 0.0)
    script.add(ev.BestCrowned(0.0), 0, seed)
    script.add(ev.AnalyzeDone("seed"), 0, seed)
    script.add(ev.RoundEnded("node"), 0)
    best = 0.0
    for round_ in range(1, draw(st.integers(0, 12)) + 1):
        script.add(ev.RoundStarted(draw(st.integers(0, 3))), round_)
        parent = draw(st.integers(0, script.nodes - 1))
        script.add(ev.LearnDone(parent, [], [ev.PriorShown("p", "f" * 64, "t", 1.0, "why")]), round_)
        if draw(st.booleans()):
            script.add(ev.DesignRejected(0, "duplicate", "same"), round_)
        outcome = draw(st.sampled_from(["no_design", "ok", "failed", "open"]))
        if outcome == "no_design":
            script.add(ev.RoundEnded("no_design", "nothing"), round_)
            continue
        node = script.design(round_, [parent])
        if outcome == "open":
            continue
        if outcome == "failed":
            script.evaluate(round_, node, draw(st.sampled_from(STATUSES[1:])), None)
        else:
            score = draw(st.floats(-5, 5))
            script.evaluate(round_, node, "ok", score)
            if score > best:
                best = score
                script.add(ev.BestCrowned(score, 0), round_, node)
        script.add(ev.AnalyzeDone(f"lesson {node}"), round_, node)
        script.add(ev.RoundEnded("node"), round_)
        if draw(st.booleans()):
            script.add(ev.SettingsChanged({"sampler": {"inspirations": draw(st.integers(0, 5))}}))
    return script.events


def shape(state: RunState) -> dict[str, Any]:
    return dict(vars(state))


@given(journals(), st.data())
def test_fold_in_parts_equals_fold_of_all(events: list[ev.Event], data: Any) -> None:
    cut = data.draw(st.integers(1, len(events)))
    state = fold(events[:cut])
    for event in events[cut:]:
        apply(state, event)
    assert shape(state) == shape(fold(events))


@given(journals())
def test_every_event_survives_json_round_trip(events: list[ev.Event]) -> None:
    for event in events:
        assert ev.decode_data(event.data.KIND, ev.encode_data(event.data)) == event.data


@given(journals())
def test_fold_counts_rounds_nodes_and_bests(events: list[ev.Event]) -> None:
    state = fold(events)
    ended = [e for e in events if isinstance(e.data, ev.RoundEnded) and e.round]
    assert state.rounds_done == len(ended)
    assert len(state.open_rounds) == state.rounds_started - state.rounds_done
    assert set(state.evaluations) == {node.id for node in state.nodes if node.status is None}
    scored = [node.score for node in state.nodes if node.score is not None]
    assert state.best_node is not None
    assert state.best_node.score == max(scored)
    assert [step.score for step in state.best_steps] == sorted(step.score for step in state.best_steps)
    for node in state.nodes:
        assert node.expanded == sum(1 for e in events if isinstance(e.data, ev.LearnDone) and e.data.parent == node.id)
    assert sum(state.counts.values()) == sum(1 for node in state.nodes if node.status is not None)


@given(journals())
def test_ranks_and_attempts_match_all_nodes(events: list[ev.Event]) -> None:
    state = fold(events)
    scores = [node.fitness for node in state.nodes if node.fitness is not None]
    assert state.ranked == sorted(scores)
    for node in state.nodes:
        better = sum(score > node.fitness for score in scores) if node.fitness is not None else 0
        assert state.rank(node.id) == (None if node.fitness is None else better + 1)
        measured = [child for child in state.nodes if child.parents[:1] == (node.id,) and child.status]
        attempts = state.attempts.get(node.id, Attempts())
        assert attempts.newest == tuple([child.id for child in measured][-5:])
        refused = [e for e in events if isinstance(e.data, ev.DesignRejected) and learned(events, e) == node.id]
        failed = [child for child in measured if child.status != "ok"]
        assert sum(failure.count for failure in attempts.failures.values()) == len(failed) + len(refused)


def learned(events: list[ev.Event], event: ev.Event) -> int:
    (parent,) = (e.data.parent for e in events if isinstance(e.data, ev.LearnDone) and e.round == event.round)
    return parent


def test_failures_are_counted_by_cause_and_the_rarest_forgotten() -> None:
    attempts: dict[int, Attempts] = {}
    for number, reason in enumerate(["division by zero", *(f"no {letter}" for letter in "abcdefg")] * 2 + ["new"]):
        node = Node(number + 1, 1, (0,), "", "full", "n", "", (), 0)
        node.status, node.reason = "crashed", f"step {number}: {reason}"
        count_child(attempts, node)
        if reason == "division by zero":
            count_child(attempts, node)
    found = {failure.told.partition(": step ")[2].partition(": ")[2]: failure.count for failure in
             attempts[0].failures.values()}  # fmt: skip
    assert found["division by zero"] == 4
    assert "new" in found
    assert len(found) == 8


def test_program_with_all_metrics_of_its_parent_behaves_the_same() -> None:
    script = Script()
    script.add(started())
    script.add(ev.RoundStarted(), 0)
    script.evaluate(0, script.design(0, []), "ok", 1.0)
    for parent, score in ((0, 1.0), (1, 1.0), (2, 1.0 + 1e-15), (0, None)):
        script.evaluate(0, script.design(0, [parent]), "ok" if score else "crashed", score)
    assert [node.same_as for node in fold(script.events).nodes] == [None, 0, 0, None, None]


def test_phase_follows_from_last_durable_event() -> None:
    script = Script()
    script.add(started())
    script.add(ev.RoundStarted(), 0)
    seed = script.design(0, [])
    script.evaluate(0, seed, "ok", 1.0)
    script.add(ev.RoundEnded("node"), 0)
    state = fold(script.events)
    phases = []

    def step(data: ev.Data, node: int | None = None) -> None:
        apply(state, ev.Event(state.seq + 1, state.at + 1, 1, node, data))
        if 1 in state.open_rounds:
            phases.append(state.phase(state.open_rounds[1]))

    step(ev.RoundStarted())
    step(ev.LearnDone(0))
    step(ev.DesignDone("a" * 64, "tune", "n", "", [0]), 1)
    step(ev.EvalStarted("explore"), 1)
    step(ev.EvalStageDone("explore", "ok", score=2.0), 1)
    step(ev.EvalDone("ok", 2.0), 1)
    step(ev.AnalyzeDone("l"), 1)
    step(ev.RoundEnded("node"))
    assert phases == ["learn", "design", "experiment", "experiment", "experiment", "analyze", "end"]


def test_time_after_engine_died_is_not_counted() -> None:
    state = RunState(ev.Event(1, 0, None, None, started()))
    engine = ev.EngineStarted(1, "h", "limits", "open", 1, 1, "recombine")
    for at, data in [(10, engine), (30, ev.RunPaused()), (1000, ev.RunResumed()), (1005, engine)]:
        apply(state, ev.Event(state.seq + 1, at, None, None, data))
    assert state.engine_ms == 20
    apply(state, ev.Event(6, 1105, None, None, ev.RunStopped("by hand")))
    assert (state.engine_ms, state.status, state.reason) == (120, "stopped", "by hand")


def test_new_engine_drops_running_evaluations_of_old_one() -> None:
    script = Script()
    script.add(started())
    script.add(ev.RoundStarted(), 0)
    seed = script.design(0, [])
    script.add(ev.EvalStarted("explore"), 0, seed)
    state = fold(script.events)
    assert state.evaluations[seed].running is not None
    apply(state, ev.Event(99, 99, None, None, ev.EngineStarted(1, "h", "limits", "open", 1, 1, "recombine")))
    assert state.evaluations[seed].running is None


def test_patience_counts_whole_rounds_without_a_new_best() -> None:
    script = Script()
    settings = msgspec.to_builtins(Settings(rounds=100, patience=2))
    script.add(msgspec.structs.replace(started(), settings=settings))
    script.add(ev.EngineStarted(1, "h", "bubblewrap", "guarded", 1, 1, "recombine"))
    ended: list[int] = []
    for round_ in range(6):
        script.add(ev.RoundStarted(), round_)
        node = script.design(round_, [])
        script.evaluate(round_, node, "ok", 1.0 if round_ else 0.0)
        if round_ < 2:
            script.add(ev.BestCrowned(float(round_)), round_, node)
        script.add(ev.RoundEnded("node"), round_)
        limit = limit_reached(fold(script.events), SPEC, 0.0, 0.0)
        ended += [round_] if limit is not None else []
    # Round 1 found the best; rounds 2 and 3 did not better it.
    assert ended == [3, 4, 5]
