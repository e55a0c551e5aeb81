"""What a person asks of a run without an engine, in the application: done, kept, or refused with a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Static

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, lock_run
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import make_run
from tui.screens.dialogs import Confirm, Prompt

ENDS = ["", "finished"]
"""Without a word of its engine a run is dead."""


def fold(run: Run) -> RunState:
    """The run as its journal tells it."""
    with JournalReader(run.db) as reader:
        return fold_run(reader)


def pending(run: Run) -> list[str]:
    """Kinds of the commands that wait for an engine."""
    with JournalReader(run.db) as reader:
        return [command.kind for command in reader.pending()]


@pytest.mark.parametrize("end", ENDS)
async def test_marks_and_comments_are_recorded(runs: Path, make_app: Maker, end: str) -> None:
    run = make_run(runs / "alpha", 40, end=end)
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("asterisk")
        await until(pilot, lambda: "star: node 0 is starred" in text_of(app), "the answer")
        await until(pilot, lambda: app.session.model.state.nodes[0].starred, "the star")  # type: ignore[union-attr]
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: "pin: node 0 is pinned" in text_of(app), "the answer")
        await until(pilot, lambda: app.session.model.state.nodes[0].pinned, "the pin")  # type: ignore[union-attr]
        await pilot.press("x")
        await until(pilot, lambda: "no longer pinned: 0" in text_of(app), "the answer")
        await pilot.press("c", *"fine", "enter")
        await until(pilot, lambda: "comment: noted" in text_of(app), "the answer")
        await pilot.press("c", *"oops", "enter")
        await until(pilot, lambda: app.session.model.state.nodes[0].comments == ("fine", "oops"), "the slip")  # type: ignore[union-attr]
        await pilot.press("U")
        await until(pilot, lambda: "taken back: comment on #0: oops" in text_of(app), "the answer")
        await until(pilot, lambda: app.session.model.state.nodes[0].comments == ("fine",), "the undoing")  # type: ignore[union-attr]
        assert (end or "dead") in text_of(app).splitlines()[0]
    state = fold(run)
    assert (state.nodes[0].starred, state.nodes[0].pruned, state.nodes[0].comments) == (True, True, ("fine",))
    assert pending(run) == []


async def test_rerun_in_a_finished_run_is_refused_with_advice(runs: Path, make_app: Maker) -> None:
    run = make_run(runs / "alpha", 40, end="finished")
    app = make_app(run, keymap={"run.resume": "f5"})
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("r")
        told = "rerun refused: the run is finished, and measures nothing more: f5 gives it more rounds"
        await until(pilot, lambda: told in text_of(app), "the refusal")
        assert not isinstance(app.screen, Confirm)
    assert pending(run) == []


async def test_rerun_and_hint_wait_for_the_next_engine(runs: Path, make_app: Maker) -> None:
    run = make_run(runs / "alpha", 40)
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("r", "y")
        await until(pilot, lambda: "rerun: kept for the run's next start: node 0" in text_of(app), "the answer")
        await pilot.press("i", "space", "enter")
        await until(pilot, lambda: "is blank" in str(app.screen.query_one("#hint", Static).render()), "the refusal")
        assert isinstance(app.screen, Prompt)
        await pilot.press(*"left", "enter")
        await until(pilot, lambda: "inject: kept for the run's next start" in text_of(app), "the answer")
    assert pending(run) == ["rerun", "inject"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("key", ["S", "s", "P"])
async def test_actions_that_need_an_engine_say_so(runs: Path, make_app: Maker, key: str, end: str) -> None:
    app = make_app(make_run(runs / "alpha", 10, end=end))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press(key)
        told = f"no engine is at work, the run is {end or 'dead'}; p {'gives it more rounds' if end else 'starts one'}"
        await until(pilot, lambda: told in text_of(app), "the reason")


async def test_step_in_a_running_run_says_to_pause_first(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("s")
        await until(pilot, lambda: "only a paused run can be stepped; p pauses it" in text_of(app), "the reason")
    assert live_run.commands() == []


async def test_star_left_by_an_ended_engine_is_set_without_it(runs: Path, make_app: Maker) -> None:
    run = make_run(runs / "alpha", 40, end="finished")
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        with lock_run(run):
            await opened(pilot)
            await pilot.press("asterisk")
            await until(pilot, lambda: pending(run) == ["star"], "the command")
        await until(pilot, lambda: "star: node 0 is starred" in text_of(app), "the answer")
    assert fold(run).nodes[0].starred
    with JournalReader(run.db) as reader:
        assert [event.data.command for event in reader.events_of(ev.CommandDone)] == [1]  # type: ignore[attr-defined]
    assert pending(run) == []
