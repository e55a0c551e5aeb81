"""The last act of a person is taken back: on a run without an engine, by a fold, and one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EvolveError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.asking import ask
from engine.runs.folder import Run
from engine.runs.undo import describe_act, undo_last
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.state.timeline import copy_state
from tests.conftest import Evolve
from tests.tui.synthetic import add_events, make_run


def state_of(run: Run) -> RunState:
    """The run as its journal tells it."""
    with JournalReader(run.db) as reader:
        return fold_run(reader)


def shown(state: RunState) -> tuple[object, ...]:
    """All that these acts change."""
    marks = [(node.starred, node.pinned, node.pruned, node.comments) for node in state.nodes]
    return (
        marks, state.comments[:], state.hints[:], list(state.injected), state.settings, state.armed, list(state.pinned),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose engine has gone."""
    return make_run(tmp_path / "one", 12)


def test_each_act_is_taken_back_in_turn(run: Run) -> None:
    """After as many undos as acts everything stands as before, and each undo stands as after the act before."""
    state = state_of(run)
    node = next(node.id for node in state.nodes if node.score is not None and node.id)
    before, told = [shown(state)], []
    for kind, data in (
        ("star", {"node": node}), ("comment", {"node": node, "text": "good"}), ("comment", {"text": "the run"}),
        ("pin", {"node": node}), ("prune", {"node": 0, "subtree": True}), ("restore", {"node": 0}),
        ("arm", {"at": "best"}), ("arm", {"at": "round", "round": 60}), ("star", {"node": node, "starred": False}),
        ("unpin", {"node": node}),
    ):  # fmt: skip
        answer = ask(run, kind, data)
        assert answer.ok, answer
        if answer.code != "unchanged":
            before.append(shown(state_of(run)))
    while len(before) > 1:
        assert shown(state_of(run)) == before.pop()
        answer = ask(run, "undo")
        assert answer.ok, answer
        told.append(answer.text)
        assert shown(state_of(run)) == before[-1], answer.text
    assert told[0].startswith("taken back: removal of the star") and told[-1] == f"taken back: star of #{node}"
    nothing = ask(run, "undo")
    assert not nothing.ok and "nothing to undo" in nothing.text


def test_what_waits_for_an_engine_is_taken_back_first(run: Run, evolve: Evolve) -> None:
    where = ("--runs", run.folder.parent)
    assert ask(run, "star", {"node": 1}).ok
    assert ask(run, "set", {"settings": {"rounds": 300}}).code == "kept"
    assert evolve("undo", "one", *where).out == "taken back: set, which waited for the run's next start\n"
    with JournalReader(run.db) as reader:
        assert reader.pending() == []
    assert state_of(run).nodes[1].starred
    assert evolve("undo", "one", *where).out == "taken back: star of #1\n"
    assert evolve("undo", "one", *where).code == 1


def answered(run: Run, name: str, *acts: tuple[ev.Data, int | None]) -> RunState:
    """The run after an engine has carried out a command."""
    add_events(run, *acts, (ev.CommandDone(1, name, True, f"{name}: done"), None))
    return state_of(run)


def test_settings_go_back_to_their_former_values(run: Run) -> None:
    was = state_of(run).settings
    state = answered(run, "set", (ev.SettingsChanged({"rounds": 300, "sampler": {"inspirations": 1}}), None))
    effects, told = undo_last(state)
    assert told == "taken back: set set: done"
    add_events(run, *effects)
    assert state_of(run).settings == was
    model = {"models": {"new": {"model": "m", "base_url": "http://127.0.0.1:1/v1"}}}
    with pytest.raises(EvolveError, match=r"models\.new.* was added"):
        undo_last(answered(run, "set", (ev.SettingsChanged(model), None)))


def test_hint_and_waiting_program_are_taken_back_but_no_program_that_had_its_round(run: Run) -> None:
    state = answered(run, "inject", (ev.Injected("hint", text="try more"), None))
    effects, _ = undo_last(state)
    add_events(run, *effects)
    assert state_of(run).hints == []
    state = answered(run, "inject", (ev.Injected("program", program="f" * 64, name="mine"), None))
    assert len(state.injected) == 1
    effects, _ = undo_last(state)
    assert [type(data) for data, _ in effects] == [ev.ActUndone]
    state.injected.clear()
    with pytest.raises(EvolveError, match="has had its round"):
        undo_last(state)
    add_events(run, *effects)
    assert not state_of(run).injected


def test_only_answered_acts_of_a_person_count(run: Run) -> None:
    add_events(run, (ev.NodeStarred(), 1), (ev.Telemetry({}), None), (ev.CommandDone(1, "star", True), None))
    assert state_of(run).acts == [], "what an engine wrote before is no part of a command"
    state = answered(run, "pin", (ev.PauseArmed(), None), (ev.NodePinned(), 2))
    assert [describe_act(act) for act in state.acts] == ["pin of #2"]
    twin = copy_state(state)
    undone, _ = undo_last(state)
    add_events(run, *undone)
    assert (len(twin.acts), len(state_of(run).acts)) == (1, 0)
    add_events(run, (ev.ActUndone(99_999, "star", "nothing"), None))
    assert state_of(run).acts == [], "what is not known is passed over"
