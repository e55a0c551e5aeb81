"""Replay: what was recorded, at any place and speed, and nothing of it earlier than it was."""

from __future__ import annotations

import queue
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.reader import JournalReader, connect_writer, create_journal, insert_event
from engine.runs.folder import Run, fold_run, is_alive, lock_run
from tests.tui.conftest import Desk
from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal
from tests.tui.test_screens import Maker, opened, settled, text_of, until
from tests.tui.test_terminal import ROOT, TUI
from tui.feed.batch import Batch
from tui.feed.replay import ReplayFeed
from tui.model.outline import LONGEST_GAP_MS, Outline, StepKind
from tui.model.run_model import RunModel
from tui.screens.dialogs import Prompt
from tui.screens.live import LiveScreen
from tui.screens.node import NodeScreen
from tui.screens.reading import help_lines
from tui.screens.replay import ReplayScreen
from tui.session import Session

SIZES = [(80, 24), (120, 40)]
EVOLVE = [sys.executable, "-c", "from engine.cli import main; main()"]


def add(run: Run, *items: tuple[ev.Data, int | None], after_ms: int = 1000) -> None:
    """Append events as an engine would."""
    with JournalReader(run.db) as reader:
        seq, at = list(reader.times())[-1][-1]
    connection = connect_writer(run.db)
    for data, node in items:
        seq, at = seq + 1, at + after_ms
        insert_event(connection, ev.Event(seq, at, None, node, data))
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 40 nodes with a few acts of a person near its end, an hour's pause, and another engine."""
    run = make_run(tmp_path_factory.mktemp("steered") / "steered", 40)
    add(run, (ev.NodeStarred(), 3), (ev.RunPaused(), None))
    engine = ev.EngineStarted(1, "testhost", "bubblewrap", "guarded", 4, 2, "recombine")
    add(run, (engine, None), (ev.NodeCommented("the last word"), 3), after_ms=3_600_000)
    add(run, (ev.RunFinished("40 rounds are done"), None))
    return run


# Places and times


def outline_of(times: list[tuple[int, ev.Data]], path: Path) -> Outline:
    connection = create_journal(path)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for seq, (at, data) in enumerate(times, 1):
        insert_event(connection, ev.Event(seq, at, 1, None, data))
    connection.execute("COMMIT")
    connection.close()
    outline = Outline()
    with JournalReader(path) as reader:
        outline.extend(reader)
    return outline


KINDS: list[ev.Data] = [
    ev.RoundStarted(),
    ev.RoundEnded("node"),
    ev.BestCrowned(1.0),
    ev.RunPaused(),
    ev.CommandDone(1, "x", True),
]


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(-2000, 100_000), min_size=1, max_size=30),
    kinds=st.lists(st.sampled_from(KINDS), min_size=30, max_size=30),
)
def test_the_clock_of_a_replay(gaps: list[int], kinds: list[ev.Data], tmp_path_factory: pytest.TempPathFactory) -> None:
    at, times = 1_760_000_000_000, []
    for gap, kind in zip(gaps, kinds, strict=False):
        at += gap
        times.append((at, kind))
    outline = outline_of(times, tmp_path_factory.mktemp("outline") / "run.db")
    clocks = [outline.clock_of(seq) for seq in range(1, len(times) + 1)]
    assert clocks == sorted(clocks) and clocks[0] == 0 and outline.length == clocks[-1]
    assert all(b - a <= LONGEST_GAP_MS for a, b in pairwise(clocks))
    for seq in range(1, len(times) + 1):
        assert outline.clock_of(outline.seq_at(outline.clock_of(seq))) == outline.clock_of(seq)
        assert (
            outline.recorded(outline.clock_of(outline.seq_at(outline.clock_of(seq))))
            == times[outline.seq_at(outline.clock_of(seq)) - 1][0]
        )
    kind: StepKind
    for kind, marks in (("round", ev.RoundEnded), ("best", ev.BestCrowned), ("act", ev.RunPaused), ("event", ev.Data)):
        places = [seq for seq, (_, data) in enumerate(times, 1) if isinstance(data, marks)]
        for seq in range(len(times) + 2):
            assert outline.step(seq, kind, 1) == next((place for place in places if place > seq), None)
            assert outline.step(seq, kind, -1) == next((place for place in reversed(places) if place < seq), None)


def test_places_that_a_person_names(steered: Run) -> None:
    outline = Outline()
    with JournalReader(steered.db) as reader:
        outline.extend(reader)
        assert not outline.extend(reader)
        last = reader.last_seq()
        assert fold_run(reader, outline.find("r12")).rounds_started == 12
    assert (outline.find(" start "), outline.find("end"), outline.find("100%"), outline.find("0%")) == (
        1,
        last,
        last,
        1,
    )
    assert outline.find("17") == 17 and 1 < outline.find("50%") < last
    assert outline.length < 3_600_000
    for wrong in ("0", str(last + 1), "r4711", "101%", "soon", "1e400", "nan", ""):
        with pytest.raises(UsageError):
            outline.find(wrong)
    assert [mark.kind for mark in outline.marks[-5:]] == ["act", "pause", "engine", "act", "engine"]


# The feed


class Watching:
    """A replay whose batches are folded as the application does it."""

    def __init__(self, run: Run, **options: Any) -> None:
        self.feed = ReplayFeed(run, **options)
        self.session = Session(self.feed)
        self.batches: queue.Queue[Batch] = queue.Queue()
        self.session.start(self.batches.put)

    @property
    def model(self) -> RunModel:
        assert self.session.model is not None
        return self.session.model

    def until(self, condition: Callable[[], bool]) -> None:
        """Fold batches until something holds."""
        while not condition():
            self.session.take(self.batches.get(timeout=20))

    def at(self, seq: int) -> None:
        """Fold until the model stands at an event."""
        self.until(lambda: self.session.model is not None and self.model.state.seq == seq)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    """Starts replays."""
    started: list[Watching] = []

    def start(run: Run, **options: Any) -> Watching:
        started.append(Watching(run, **options))
        return started[-1]

    yield start
    for item in started:
        item.session.stop()
        item.feed.wait(10)


def folded(run: Run, seq: int) -> RunModel:
    model = RunModel()
    with JournalReader(run.db) as reader:
        model.load(reader.events(upto=seq))
    return model


def test_a_place_before_and_one_after_show_what_was_then(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=200, playing=False)
    replay.at(200)
    for seq in (201, 150, 151, 340, 3, 300):
        replay.feed.seek(seq)
        replay.at(seq)
        expected = folded(steered, seq)
        assert replay.model.population.rows == expected.population.rows
        assert [node.score for node in replay.model.state.nodes] == [node.score for node in expected.state.nodes]
        assert replay.model.notes == expected.notes and replay.model.best_lineage == expected.best_lineage
    assert replay.session.status == "running" and not replay.session.is_moving


def test_it_plays_to_the_end_and_stands_still(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, speed=1000)
    replay.until(lambda: not replay.feed.playing)
    assert replay.model.state.status == "finished" == replay.session.status
    assert len(replay.model.state.nodes) == 40 and not replay.session.is_moving
    assert replay.model.state.nodes[3].comments == ("the last word",)


def test_the_status_is_that_of_the_moment(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=1, playing=False)
    replay.at(1)
    assert replay.feed.outline is not None
    pause = replay.feed.outline.marks[-4].seq
    replay.feed.seek(pause)
    replay.at(pause)
    assert replay.session.status == "paused"
    assert replay.feed.now_ms() == replay.model.state.at


def test_what_was_folded_away_stays_so(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=300, playing=False)
    replay.at(300)
    replay.model.population.fold(0)
    replay.feed.seek(100)
    replay.at(100)
    assert replay.model.population.rows == [0] and len(replay.model.population) > 5


def test_a_live_run_is_followed_at_its_end(
    tmp_path: Path, watch: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.feed.replay._CHECK_SECONDS", 0.05)
    run = make_run(tmp_path / "live", 10)
    with lock_run(run):
        replay = watch(run, speed=1000)
        replay.until(lambda: len(replay.model.state.nodes) == 10 if replay.session.model else False)
        desk = Desk(run)
        connection = connect_writer(run.db)
        insert_event(connection, ev.Event(desk.seq + 1, 2_000_000_000_000, None, 2, ev.NodeStarred()))
        connection.close()
        replay.until(lambda: replay.model.state.nodes[2].starred)
        assert replay.feed.playing


def test_a_journal_that_is_gone_is_told(tmp_path: Path, watch: Callable[..., Watching]) -> None:
    replay = watch(Run(tmp_path / "nothing"))
    replay.until(lambda: "does not exist" in replay.session.trouble)


# The screens


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
async def test_moving_through_a_run(replaying: Any, steered: Run, size: tuple[int, int]) -> None:
    async with replaying.run_test(size=size) as pilot:
        await opened(pilot)
        assert isinstance(replaying.screen, ReplayScreen)
        outline = replaying.session.feed.outline
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
        await to("right_parenthesis", outline.step(300, "round", 1))
        await to("left_parenthesis", outline.step(state_of(replaying).seq, "round", -1))
        await to("left_square_bracket", outline.step(state_of(replaying).seq, "best", -1))
        await to("right_square_bracket", outline.step(state_of(replaying).seq, "best", 1))
        await to("right_curly_bracket", outline.step(state_of(replaying).seq, "act", 1))
        assert state_of(replaying).nodes[3].starred
        await to("right_curly_bracket", outline.step(state_of(replaying).seq, "act", 1))
        await until(pilot, lambda: "‖ paused" in text_of(replaying), "the status line")
        await to("left_curly_bracket", outline.step(state_of(replaying).seq, "act", -1))
        await pilot.press("left_curly_bracket")
        await until(pilot, lambda: "no act of a person before this" in text_of(replaying), "a word")
        await to("full_stop", state_of(replaying).seq + 1)
        assert "no act" not in text_of(replaying), "it is not said any more"
        await pilot.press("t", *"r7", "enter")
        await until(pilot, lambda: state_of(replaying).seq == outline.find("r7"), "round 7")
        await pilot.press("t", *"never", "enter")
        await until(pilot, lambda: "is no place" in str(replaying.screen.query("#hint").first().render()), "a refusal")
        await pilot.press("escape")


async def test_playing_faster_to_the_end_and_again(replaying: Any) -> None:
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


async def test_nothing_is_asked_of_a_run_in_a_replay(replaying: Any, steered: Run) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for key in ("p", "P", "s", "S", "i", "exclamation_mark", "x", "c", "r"):
            await pilot.press(key)
            assert isinstance(replaying.screen, ReplayScreen), key
            assert "A replay asks nothing of the run" in text_of(replaying).splitlines()[-1], key
            replaying.screen.query_one("#footer").hush()
        await pilot.press("enter")
        await until(pilot, lambda: "construct_packing" in text_of(replaying), "the code")
        await pilot.press("x")
        assert "A replay asks nothing of the run" in text_of(replaying).splitlines()[-1]
        offered = {span.text.strip() for line in help_lines(replaying.screen) for span in line}
        assert "node.copy" in offered and "node.prune" not in offered
        with JournalReader(steered.db) as reader:
            assert reader.pending() == []


async def test_a_node_knows_nothing_of_what_came_later(replaying: Any) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        replaying.show_node(3)
        await pilot.press("5")
        await until(pilot, lambda: "why it was made" in text_of(replaying), "the note")
        assert "the last word" not in text_of(replaying)
        replaying.session.feed.seek(replaying.session.feed.outline.last)
        await until(pilot, lambda: "the last word" in text_of(replaying), "the comment")
        assert isinstance(replaying.screen, NodeScreen)


async def test_a_live_run_is_rewound_and_brought_back(live_run: Desk, make_app: Maker) -> None:
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


async def test_a_fork_from_here(replaying: Any, runs: Path) -> None:
    async with replaying.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("F")
        assert isinstance(replaying.screen, Prompt)
        await pilot.press(*"branch", "enter")
        await until(pilot, lambda: isinstance(replaying.screen, LiveScreen), "the new run")
        await opened(pilot)
        assert replaying.session.run.folder == runs / "branch"
        assert state_of(replaying).forked is not None and state_of(replaying).forked.at_seq == 300
        await until(pilot, lambda: "'branch' is a run of its own" in text_of(replaying), "a word")


# The command


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("size", SIZES)
def test_the_command_leaves_no_file_behind(steered: Run, tmp_path: Path, size: tuple[int, int]) -> None:
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
        terminal.read(3, quiet=1.0)
        assert terminal.read(1.5) == 0, "at the end not a byte is written"
        terminal.send("[")
        terminal.read_until("‖ still")
        terminal.send("q")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()
        folder.chmod(0o755)
    assert listing(folder) == before


def test_a_run_watched_to_its_end_is_left_as_one_file(runs: Path) -> None:
    run = make_run(runs / "wal", 10, end="finished")
    connection = connect_writer(run.db)
    insert_event(connection, ev.Event(10_000, 2_000_000_000_000, None, 1, ev.NodeStarred()))
    terminal = Terminal([*TUI, str(runs), "wal"], (80, 24), cwd=ROOT)
    try:
        terminal.read_until("■ finished")
        connection.close()
        assert not is_alive(run)
        terminal.send("q")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()
    assert [path.name for path in run.folder.iterdir()] == ["run.db"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--speed", "0"], "between 1 and 1000"), (["--at", "99999"], "has no event 99999"), ([], "is not a terminal")],
)
def test_what_cannot_be_replayed_is_told(steered: Run, arguments: list[str], said: str) -> None:
    command = [*EVOLVE, "replay", str(steered.folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize(
    ("seq", "told"),
    [(1, "no score yet: the first program is not there"), (4, "no score yet: #0 is being measured")],
)
async def test_a_plot_without_a_score_says_what_it_waits_for(
    steered: Run, runs: Path, make_app: Maker, seq: int, told: str
) -> None:
    runs.mkdir()
    app = make_app(steered)
    app._replay = (seq, 10.0, False)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: told in text_of(app), told)
