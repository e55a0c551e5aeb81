"""The reader thread on real journals: what it delivers, when it waits, and how it finds a run again."""

from __future__ import annotations

import json
import queue
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import connect_writer, send_command
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, lock_run
from engine.runs.status import summary_of
from engine.state.fold import fold_run
from tests.tui.synthetic import Pen, Synthesizer, make_run
from tui.feed.batch import Batch
from tui.feed.live import LiveFeed
from tui.feed.run_row import RunRow
from tui.feed.runs_watch import RunsWatch


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the run's place ten times as often as usual."""
    monkeypatch.setattr("tui.feed.live._CHECK_SECONDS", 0.1)


class Reading:
    """A feed and what it posted."""

    def __init__(self, run: Run) -> None:
        self.feed = LiveFeed(run)
        self.batches: queue.Queue[Batch] = queue.Queue()
        self.feed.set_period(0.02)
        self.feed.start(self.batches.put)

    def next(self, acknowledge: bool = True, timeout: float = 90) -> Batch:
        """The next batch."""
        batch = self.batches.get(timeout=timeout)
        if acknowledge:
            self.feed.acknowledge()
        return batch

    def nothing(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            self.batches.get(timeout=0.3)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run without an engine."""
    return make_run(tmp_path / "runs" / "run", 40)


@pytest.fixture
def reading(run: Run) -> Iterator[Reading]:
    """A feed on it."""
    reading = Reading(run)
    yield reading
    reading.feed.stop()


def test_ages_use_the_clock_of_the_last_event(run: Run, reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    reading.next()
    real = time.time_ns
    first = reading.feed.now_ms()
    monkeypatch.setattr("time.time_ns", lambda: real() - 3_600_000_000_000)
    assert 0 <= reading.feed.now_ms() - first < 60_000
    write(run, ev.Telemetry())
    assert reading.next().events
    assert reading.feed.now_ms() < first - 3_000_000, "what is written now carries the time of the clock as it is now"


def write(run: Run, *data: ev.Data) -> None:
    """Append events as an engine would."""
    connection = connect_writer(run.db)
    (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    pen = Pen(connection, Synthesizer())
    pen.write([ev.Event(last + 1 + index, 2_000_000_000_000, None, None, item) for index, item in enumerate(data)])
    connection.close()


def test_first_batch_holds_the_whole_run(reading: Reading) -> None:
    batch = reading.next()
    assert batch.model is not None and len(batch.model.state.nodes) == 40
    assert not batch.alive and not batch.events
    assert reading.nothing()


def test_events_arrive_once_and_in_order(run: Run, reading: Reading) -> None:
    reading.next()
    write(run, ev.RunPaused(), ev.RunResumed())
    write(run, ev.RunPaused(now=True))
    got: list[ev.Event] = []
    while len(got) < 3:
        got += reading.next().events
    assert [event.data.KIND for event in got] == ["run.paused", "run.resumed", "run.paused"]
    assert reading.nothing()


def test_feed_waits_for_the_acknowledgement_before_it_reads(run: Run, reading: Reading) -> None:
    reading.next(acknowledge=False)
    write(run, ev.RunPaused())
    assert reading.nothing()
    reading.feed.acknowledge()
    assert [event.data.KIND for event in reading.next().events] == ["run.paused"]


def test_backlog_arrives_in_bounded_batches(run: Run, reading: Reading) -> None:
    reading.next()
    write(run, *[ev.Telemetry(values={"x": float(index)}) for index in range(1200)])
    sizes = []
    while sum(sizes) < 1200:
        sizes.append(len(reading.next().events))
    assert max(sizes) <= 500


def test_feed_reports_engine_start_and_end(run: Run, reading: Reading) -> None:
    assert not reading.next().alive
    with lock_run(run):
        assert reading.next().alive
    assert not reading.next().alive


def test_command_row_makes_no_batch(run: Run, reading: Reading) -> None:
    reading.next()
    send_command(run.db, "pause")
    assert reading.nothing()


def test_renamed_run_is_followed(run: Run, reading: Reading) -> None:
    reading.next()
    moved = run.folder.rename(run.folder.with_name("other"))
    batch = reading.next()
    assert batch.run.folder == moved and batch.model is not None
    write(Run(moved), ev.RunPaused())
    assert [event.data.KIND for event in reading.next().events] == ["run.paused"]


def test_missing_run_is_reported_once_and_found_again(run: Run, reading: Reading, tmp_path: Path) -> None:
    reading.next()
    away = tmp_path / "elsewhere"
    shutil.move(run.folder, away)
    assert "is gone" in reading.next().trouble
    # As a whole: a copy that is being made is another trouble.
    shutil.copytree(away, tmp_path / "copy")
    (tmp_path / "copy").rename(run.folder)
    batch = reading.next()
    assert batch.model is not None and len(batch.model.state.nodes) == 40


def test_replaced_journal_is_read_anew(run: Run, reading: Reading, tmp_path: Path) -> None:
    reading.next()
    other = make_run(tmp_path / "other", 12, seed=7)
    other.db.replace(run.db)
    for suffix in ("-wal", "-shm"):
        Path(f"{run.db}{suffix}").unlink(missing_ok=True)
    batch = reading.next()
    assert batch.model is not None and len(batch.model.state.nodes) == 12


def test_damaged_journal_is_reported_and_the_feed_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "broken")
    run.folder.mkdir(parents=True)
    run.db.write_bytes(b"nothing of the kind")
    reading = Reading(run)
    try:
        assert "is no journal" in reading.next().trouble
    finally:
        reading.feed.stop()


def test_journal_that_does_not_fold_is_reported(run: Run) -> None:
    connection = connect_writer(run.db)
    Pen(connection, Synthesizer()).write([ev.Event(100_000, 0, 1, 999, ev.EvalDone("ok", score=1.0))])
    connection.close()
    reading = Reading(run)
    try:
        assert "damaged at event" in reading.next().trouble
    finally:
        reading.feed.stop()


def test_list_shows_the_current_limit_of_rounds(tmp_path: Path) -> None:
    """By the kept summary, by the whole journal, and by what waits for the next engine."""
    runs = tmp_path / "runs"
    kept, folded, waiting = (make_run(runs / name, 10, end="stopped") for name in ("kept", "folded", "waiting"))
    for run in (kept, folded):
        write(run, ev.SettingsChanged({"rounds": 130}))
    with JournalReader(kept.db) as reader:
        summary = summary_of(fold_run(reader))
    connection = connect_writer(kept.db)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('summary', ?)", (json.dumps(summary),))
    connection.close()
    send_command(waiting.db, "set", {"settings": {"rounds": 140}})
    rows: queue.Queue[list[RunRow]] = queue.Queue()
    watch = RunsWatch(runs, rows.put)
    watch.start()
    try:
        totals = {row.name: row.rounds_total for row in rows.get(timeout=90)}
        assert totals == {"kept": 130, "folded": 130, "waiting": 140}
    finally:
        watch.stop()


def test_list_of_runs_follows_the_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_run(runs / "one", 10, end="finished")
    going = make_run(runs / "two", 15, seed=2)
    (runs / "bad").mkdir()
    (runs / "bad" / "run.db").write_bytes(b"no")
    rows: queue.Queue[list[RunRow]] = queue.Queue()
    watch = RunsWatch(runs, rows.put)
    watch.start()
    try:
        by_name = {row.name: row for row in rows.get(timeout=90)}
        assert by_name["one"].status == "finished" and by_name["one"].nodes >= 10
        assert by_name["two"].status == "dead" and by_name["two"].best is not None
        assert by_name["bad"].status == "broken" and by_name["bad"].trouble
        with lock_run(going):
            write(going, ev.RunPaused())
            while (row := {row.name: row for row in rows.get(timeout=90)}["two"]).status != "paused":
                pass
            assert row.nodes == 15
    finally:
        watch.stop()
