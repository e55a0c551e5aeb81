"""Replay on the screen and from the command line."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from tests.tui.conftest import Desk
from tests.tui.pilot import SIZES, Maker, opened, settled, text_of, until
from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import ROOT, TUI
from tui.screens.dialogs import Prompt
from tui.screens.live import LiveScreen
from tui.screens.node import NodeScreen
from tui.screens.reading import help_lines
from tui.screens.replay import ReplayScreen

EVOLVE = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.fixture
def replaying(steered: Run, runs: Path, make_app: Maker) -> Any:
    """The application on a run of which nothing is played yet."""
    runs.mkdir()
    app = make_app(steered)
    app._replay = (300, 10.0, False)
    return app


def state_of(app: Any) -> Any:
    return app.session.model.state


@pytest.mark.parametrize("size", SIZES)
async def test_keys_move_through_a_run(replaying: Any, steered: Run, size: tuple[int, int]) -> None:
    async with replaying.run_test(size=size) as pilot:
        await opened(pilot)
        assert isinstance(replaying.screen, ReplayScreen)
        index = replaying.session.feed.index
        await settled(pilot)
        text = text_of(replaying)
        assert "event 300/" in text and "‖ still 10×" in text and "▲" in text.splitlines()[2]
        assert "space Play" in text.splitlines()[-1] and "Pause" not in text.splitlines()[-1]

        async def to(key: str, seq: int | None) -> None:
            assert seq is not None
            await pilot.press(key)
            await until(pilot, lambda: state_of(replaying).seq == seq, f"{key} to {seq}")
            await until(pilot, lambda: f"event {seq:,}/" in text_of(replaying), "the place in the bar")

        await to("full_stop", 301)
        await to("comma", 300)
        await to("right_parenthesis", index.step(300, "round", 1))
        await to("left_parenthesis", index.step(state_of(replaying).seq, "round", -1))
        await to("left_square_bracket", index.step(state_of(replaying).seq, "best", -1))
        await to("right_square_bracket", index.step(state_of(replaying).seq, "best", 1))
        await to("right_curly_bracket", index.step(state_of(replaying).seq, "act", 1))
        assert state_of(replaying).nodes[3].starred
        await to("right_curly_bracket", index.step(state_of(replaying).seq, "act", 1))
        await until(pilot, lambda: "‖ paused" in text_of(replaying), "the status line")
        await to("left_curly_bracket", index.step(state_of(replaying).seq, "act", -1))
        await pilot.press("left_curly_bracket")
        await until(pilot, lambda: "no act of a person before this" in text_of(replaying), "a word")
        await to("full_stop", state_of(replaying).seq + 1)
        assert "no act" not in text_of(replaying), "it is not said any more"
        await pilot.press("left_curly_bracket", "left_curly_bracket")
        await until(pilot, lambda: "no act of a person before this" in text_of(replaying), "a word")
        await pilot.press("t", *"r7", "enter")
        await until(pilot, lambda: state_of(replaying).seq == index.find("r7"), "round 7")
        await until(pilot, lambda: "no act" not in text_of(replaying), "an end of the word")
        await pilot.press("t", *"never", "enter")
        await until(
            pilot, lambda: "is not a place" in str(replaying.screen.query("#hint").first().render()), "a refusal"
        )
        await pilot.press("escape")


async def test_replay_plays_faster_to_the_end_and_starts_again(replaying: Any) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for _ in range(9):
            await pilot.press("plus")
        assert replaying.session.feed.speed == 1000
        await pilot.press("minus", "plus", "space")
        await until(pilot, lambda: state_of(replaying).status == "finished", "the end")
        await until(pilot, lambda: "■ end" in text_of(replaying), "the end in the bar")
        assert not replaying.session.is_moving
        for _ in range(9):
            await pilot.press("minus")
        await pilot.press("space")
        await until(pilot, lambda: state_of(replaying).seq < 20 and "▶ 1×" in text_of(replaying), "the start")


async def test_replay_refuses_every_act_on_the_run(replaying: Any, steered: Run) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for key in ("p", "P", "s", "S", "i", "exclamation_mark", "x", "c", "r"):
            await pilot.press(key)
            assert isinstance(replaying.screen, ReplayScreen), key
            assert "A replay cannot steer the run" in text_of(replaying).splitlines()[-1], key
            replaying.screen.query_one("#footer").hush()
        await pilot.press("enter")
        await until(pilot, lambda: "construct_packing" in text_of(replaying), "the code")
        await pilot.press("x")
        assert "A replay cannot steer the run" in text_of(replaying).splitlines()[-1]
        offered = {span.text.strip() for line in help_lines(replaying.screen) for span in line}
        assert "node.copy" in offered and "node.prune" not in offered
        with JournalReader(steered.db) as reader:
            assert reader.pending() == []


async def test_node_in_a_replay_hides_later_events(replaying: Any) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        replaying.show_node(3)
        await pilot.press("5")
        await until(pilot, lambda: "why it was made" in text_of(replaying), "the note")
        assert "the last word" not in text_of(replaying)
        replaying.session.feed.seek(replaying.session.feed.index.last)
        await until(pilot, lambda: "the last word" in text_of(replaying), "the comment")
        assert isinstance(replaying.screen, NodeScreen)


async def test_live_run_is_rewound_and_shown_live_again(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("T")
        await opened(pilot)
        assert isinstance(app.screen, ReplayScreen) and state_of(app).seq == live_run.seq
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: state_of(app).seq < live_run.seq, "the past")
        await pilot.press("T")
        await opened(pilot)
        assert not isinstance(app.screen, ReplayScreen) and state_of(app).seq == live_run.seq
        await pilot.press("T")
        await opened(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), "the run itself")
        await until(pilot, lambda: app.screen.view.ready, "the run")
        await pilot.press("p")
        await until(pilot, live_run.commands, "the command")
        assert live_run.commands() == [("pause", {})]


async def test_fork_starts_at_the_event_shown(replaying: Any, runs: Path) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("F")
        assert isinstance(replaying.screen, Prompt)
        await pilot.press(*"branch", "enter")
        await until(pilot, lambda: isinstance(replaying.screen, LiveScreen), "the new run")
        await opened(pilot)
        assert replaying.session.run.folder == runs / "branch"
        assert state_of(replaying).forked is not None and state_of(replaying).forked.at_seq == 300
        await until(pilot, lambda: "'branch' is a new run" in text_of(replaying), "a word")


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("size", SIZES)
def test_replay_command_leaves_no_file_behind(steered: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    folder = tmp_path / "medium" / "steered"
    folder.mkdir(parents=True)
    (folder / "run.db").write_bytes(steered.db.read_bytes())
    before = listing(folder)
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    command = [*EVOLVE, "replay", str(folder), "--speed", "1000"]
    terminal = Terminal(command, size, env={"EVOLVE_HOME": str(tmp_path / "home")}, cwd=ROOT)
    try:
        terminal.read_until("■ end")
        terminal.read_until("■ finished")
        terminal.read_until_quiet(1.5)  # at the end not a byte is written
        terminal.send("[")
        terminal.read_until("‖ still")
        terminal.send("q")
        assert terminal.process.wait(90) == 0
    finally:
        terminal.close()
        folder.chmod(0o755)
    assert listing(folder) == before


def test_run_watched_to_its_end_is_left_as_one_file(runs: Path) -> None:
    run = make_run(runs / "wal", 10, end="finished")
    connection = connect_writer(run.db)
    insert_event(connection, ev.Event(10_000, 2_000_000_000_000, None, 1, ev.NodeStarred()))
    terminal = Terminal([*TUI, str(runs), "wal"], (80, 24), cwd=ROOT)
    try:
        terminal.read_until("■ finished")
        connection.close()
        assert not is_alive(run)
        terminal.send("q")
        assert terminal.process.wait(90) == 0
    finally:
        terminal.close()
    assert [path.name for path in run.folder.iterdir()] == ["run.db"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--speed", "0"], "between 1 and 1000"), (["--at", "99999"], "has no event 99999"), ([], "is not a terminal")],
)
def test_replay_command_refuses_bad_arguments(steered: Run, arguments: list[str], said: str) -> None:
    command = [*EVOLVE, "replay", str(steered.folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize(
    ("seq", "told"),
    [(1, "no score yet: the first program is not there"), (4, "no score yet: #0 is being measured")],
)
async def test_plot_without_a_score_says_what_it_waits_for(
    steered: Run, runs: Path, make_app: Maker, seq: int, told: str
) -> None:
    runs.mkdir()
    app = make_app(steered)
    app._replay = (seq, 10.0, False)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: told in text_of(app), told)
