"""The last act of a person is taken back: on a run without an engine, by a fold, and one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import EvolveError
from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event, send_command
from engine.journal.reader import JournalReader
from engine.runs.asking import ask, carry_out
from engine.runs.command_kinds import Answer
from engine.runs.folder import Run, lock_run
from engine.runs.resting import RestingRun
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


def test_undo_that_an_engine_left_unanswered_is_answered_once(run: Run) -> None:
    assert ask(run, "star", {"node": 1}).ok
    send_command(run.db, "set", {"settings": {"rounds": 300}})
    undo = send_command(run.db, "undo", {})
    later = send_command(run.db, "set", {"settings": {"rounds": 400}})
    answer = carry_out(run, "undo", {}, undo)
    assert answer is not None and answer.text.startswith("taken back: set")
    with JournalReader(run.db) as reader:
        assert [command.id for command in reader.pending()] == [later], "the next engine undoes no second act"
    assert state_of(run).nodes[1].starred


def test_what_waited_is_not_taken_back_once_an_engine_has_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(run, "star", {"node": 1}).ok
    assert ask(run, "set", {"settings": {"rounds": 300}}).code == "kept"

    @contextmanager
    def after(run: Run, engine: bool = True) -> Iterator[int]:
        """An engine carries it out before the lock is free."""
        with lock_run(run, engine=engine) as held:
            with JournalReader(run.db) as reader:
                waiting = reader.pending()
            with RestingRun(run) as resting:
                for command in waiting:
                    done: list[tuple[ev.Data, int | None]] = [(ev.SettingsChanged({"rounds": 300}), None)]
                    resting.write_answer("set", "", done, Answer(True, "done", "rounds = 300"), command.id)
            yield held

    with monkeypatch.context() as patch, lock_run(run):
        patch.setattr("engine.runs.asking.is_alive", lambda run: True)
        assert carry_out(run, "undo") is None, "an engine that has started meanwhile answers"
    monkeypatch.setattr("engine.runs.asking.lock_run", after)
    assert ask(run, "undo").text == "taken back: set rounds = 300"
    assert state_of(run).settings.rounds == 100


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
    add_events(run, (ev.SettingsChanged({"rounds": 7}), None))
    answered(run, "set", (ev.SettingsChanged({"rounds": 8}), None))
    add_events(run, *undo_last(state_of(run))[0])
    assert state_of(run).settings.rounds == 7, "what a fork set right before is no part of the act"
    add_events(run, (ev.SettingsChanged({"rounds": 9}), None))
    answered(run, "set", (ev.SettingsChanged({"workers": 3}), None))
    add_events(run, (ev.SettingsChanged({"workers": 2}), None))
    with pytest.raises(EvolveError, match="workers was changed again since"):
        undo_last(state_of(run))
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


def test_an_act_that_stays_is_named_and_does_not_block_the_one_before(run: Run, evolve: Evolve) -> None:
    where = ("--runs", run.folder.parent)
    assert ask(run, "star", {"node": 1}).ok
    assert ask(run, "comment", {"node": 2, "text": "look here"}).ok
    program = ev.Injected("program", program="f" * 64, name="mine")
    injected = answered(run, "inject", (program, None))
    connection = connect_writer(run.db)
    begun = ev.RoundStarted(injected=injected.seq - 1)
    insert_event(connection, ev.Event(injected.seq + 1, injected.at + 1, injected.rounds_started + 1, None, begun))
    connection.close()
    command = {"models": {"new": {"model": "m", "base_url": "http://127.0.0.1:1/v1"}}}
    answered(run, "set", (ev.SettingsChanged(command), None))
    assert not state_of(run).injected
    said = evolve("undo", "one", *where)
    assert said.code == 0 and said.out.startswith(
        "taken back: comment on #2: look here; what came later stays, as do 1 "
    )
    assert "models.new" in said.out
    assert state_of(run).nodes[2].comments == () and state_of(run).nodes[1].starred
    assert ask(run, "undo").text.startswith("taken back: star of #1; what came later stays")
    assert not state_of(run).nodes[1].starred
    assert len(state_of(run).acts) == 2, "what stays can still be taken back, should that become possible"
    nothing = ask(run, "undo")
    assert not nothing.ok and "models.new" in nothing.text


def test_what_waits_is_taken_back_though_a_later_act_stays(run: Run) -> None:
    assert ask(run, "set", {"settings": {"rounds": 300}}).code == "kept"
    command = {"models": {"new": {"model": "m", "base_url": "http://127.0.0.1:1/v1"}}}
    later = ev.CommandDone(1, "set", True, "set: done")
    add_events(run, (ev.SettingsChanged(command), None), (later, None), after_ms=10**12)
    assert ask(run, "undo").text == "taken back: set, which waited for the run's next start"


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
