"""The feed of a replay: any place at any speed, and nothing of it earlier than it was."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.database import connect_writer, create_journal, insert_event
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, lock_run
from engine.runs.fork import fork_run
from engine.state.fold import fold_run
from tests.tui.conftest import Desk
from tests.tui.synthetic import make_run
from tui.feed import essential
from tui.feed.batch import Batch
from tui.feed.replay import ReplayFeed
from tui.model.event_index import LONGEST_GAP_MS, EventIndex, StepKind
from tui.model.run_model import RunModel, fold_model
from tui.session import Session


def index_of(times: list[tuple[int, ev.Data]], path: Path) -> EventIndex:
    connection = create_journal(path)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for seq, (at, data) in enumerate(times, 1):
        insert_event(connection, ev.Event(seq, at, 1, None, data))
    connection.execute("COMMIT")
    connection.close()
    index = EventIndex()
    with JournalReader(path) as reader:
        index.extend(reader)
    return index


KINDS: list[ev.Data] = [
    ev.RoundStarted(),
    ev.RoundEnded("node"),
    ev.BestCrowned(1.0),
    ev.RunPaused(),
    ev.CommandDone(1, "x", True),
]


@given(
    gaps=st.lists(st.integers(-2000, 100_000), min_size=1, max_size=30),
    kinds=st.lists(st.sampled_from(KINDS), min_size=30, max_size=30),
)
def test_replay_clock_shortens_gaps_and_never_runs_backwards(
    gaps: list[int], kinds: list[ev.Data], tmp_path_factory: pytest.TempPathFactory
) -> None:
    at, times = 1_760_000_000_000, []
    for gap, kind in zip(gaps, kinds, strict=False):
        at += gap
        times.append((at, kind))
    index = index_of(times, tmp_path_factory.mktemp("index") / "run.db")
    clocks = [index.clock_of(seq) for seq in range(1, len(times) + 1)]
    assert clocks == sorted(clocks) and clocks[0] == 0 and index.length == clocks[-1]
    assert all(b - a <= LONGEST_GAP_MS for a, b in pairwise(clocks))
    for seq in range(1, len(times) + 1):
        assert index.clock_of(index.seq_at(index.clock_of(seq))) == index.clock_of(seq)
        assert (
            index.recorded(index.clock_of(index.seq_at(index.clock_of(seq))))
            == times[index.seq_at(index.clock_of(seq)) - 1][0]
        )
    kind: StepKind
    for kind, marks in (("round", ev.RoundEnded), ("best", ev.BestCrowned), ("act", ev.RunPaused), ("event", ev.Data)):
        places = [seq for seq, (_, data) in enumerate(times, 1) if isinstance(data, marks)]
        for seq in range(len(times) + 2):
            assert index.step(seq, kind, 1) == next((place for place in places if place > seq), None)
            assert index.step(seq, kind, -1) == next((place for place in reversed(places) if place < seq), None)


def test_places_are_parsed_and_refused(steered: Run) -> None:
    index = EventIndex()
    with JournalReader(steered.db) as reader:
        index.extend(reader)
        assert not index.extend(reader)
        last = reader.last_seq()
        assert fold_run(reader, index.find("r12")).rounds_started == 12
    assert (index.find(" start "), index.find("end"), index.find("100%"), index.find("0%")) == (
        1,
        last,
        last,
        1,
    )
    assert index.find("17") == 17 and 1 < index.find("50%") < last
    assert index.length < 3_600_000
    for wrong in ("0", str(last + 1), "r4711", "101%", "soon", "1e400", "nan", ""):
        with pytest.raises(UsageError):
            index.find(wrong)
    assert [mark.kind for mark in index.marks[-5:]] == ["act", "pause", "engine", "act", "engine"]


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
            self.session.take(self.batches.get(timeout=90))

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
        item.feed.wait(90)


def folded(run: Run, seq: int) -> RunModel:
    with JournalReader(run.db) as reader:
        return fold_model(reader.events(upto=seq))


def test_seek_shows_the_run_as_it_was(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=200, playing=False)
    replay.at(200)
    for seq in (201, 150, 151, 340, 3, 300):
        replay.feed.seek(seq)
        replay.at(seq)
        expected = folded(steered, seq)
        assert replay.model.forest.rows == expected.forest.rows
        assert [node.score for node in replay.model.state.nodes] == [node.score for node in expected.state.nodes]
        assert replay.model.notes == expected.notes and replay.model.best_lineage == expected.best_lineage
    assert replay.session.status == "running" and not replay.session.is_moving


def test_a_far_seek_decodes_no_outdated_event_and_shows_the_same(steered: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(essential, "_RECENT", 40)
    with JournalReader(steered.db) as reader:
        last = reader.last_seq()
        events, read = list(reader.events()), list(essential.essential_events(reader, 0, last))
    left_out = {event.seq for event in events} - {event.seq for event in read}
    assert left_out and {type(events[seq - 1].data) for seq in left_out} <= {
        ev.EvalProgress,
        ev.Telemetry,
        ev.CallStarted,
    }
    whole, short = fold_model(events), fold_model(read)
    assert short.state.nodes == whole.state.nodes and short.notes == whole.notes and short.rates == whole.rates
    assert (short.state.engine_ms, short.state.at, short.state.usd) == (
        whole.state.engine_ms,
        whole.state.at,
        whole.state.usd,
    )


def test_replay_plays_to_the_end_and_stops(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, speed=1000)
    replay.until(lambda: not replay.feed.playing)
    assert replay.model.state.status == "finished" == replay.session.status
    assert len(replay.model.state.nodes) == 40 and not replay.session.is_moving
    assert replay.model.state.nodes[3].comments == ("the last word",)


def test_status_is_that_of_the_event_shown(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=1, playing=False)
    replay.at(1)
    assert replay.feed.index is not None
    pause = replay.feed.index.marks[-4].seq
    replay.feed.seek(pause)
    replay.at(pause)
    assert replay.session.status == "paused"
    assert replay.feed.now_ms() == replay.model.state.at


def test_seek_keeps_folded_nodes(steered: Run, watch: Callable[..., Watching]) -> None:
    replay = watch(steered, at=300, playing=False)
    replay.at(300)
    replay.model.forest.fold(0)
    replay.feed.seek(100)
    replay.at(100)
    assert replay.model.forest.rows == [0] and len(replay.model.forest) > 5


def test_replay_follows_a_live_run_at_its_end(
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


def test_missing_journal_is_reported(tmp_path: Path, watch: Callable[..., Watching]) -> None:
    replay = watch(Run(tmp_path / "nothing"))
    replay.until(lambda: "does not exist" in replay.session.trouble)


def test_fork_stands_still_until_its_own_engine_starts(
    steered: Run, tmp_path: Path, watch: Callable[..., Watching]
) -> None:
    fork = fork_run(steered, tmp_path, at_seq=200, name="fork").run
    replay = watch(fork, at=200, playing=False)
    replay.at(200)
    assert replay.session.status == "running"
    replay.feed.seek(201)
    replay.at(201)
    assert replay.model.state.forked is not None and replay.session.status == "stopped"
