"""One summary of a run: the command line, exports, the application's list and its status bar say the same."""

from __future__ import annotations

import json
import queue
import shutil
import sqlite3
from pathlib import Path

import pytest

from engine.cli.progress import closing_object
from engine.export import export_run
from engine.export.record import read_record
from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, lock_run
from engine.runs.status import current_status, kept_summary, run_summary, started_ms, summarize, summary_now
from engine.state.fold import fold_run
from tests.conftest import Evolve
from tests.tui.synthetic import make_run
from tui.feed.run_row import RunRow
from tui.feed.runs_watch import RunsWatch

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.parent.name for path in (ROOT / "sample_runs").glob("*/run.db"))


@pytest.fixture(params=["kept", "folded"])
def samples(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Copies of all sample runs, with the summaries that their journals keep, and without them."""
    runs = tmp_path / "runs"
    for name in SAMPLES:
        shutil.copytree(ROOT / "sample_runs" / name, runs / name)
        if request.param == "folded":
            with sqlite3.connect(runs / name / "run.db") as connection:
                connection.execute("DELETE FROM meta WHERE key = 'summary'")
            connection.close()
    return runs


def listed_by_application(runs: Path) -> dict[str, RunRow]:
    rows: queue.Queue[list[RunRow]] = queue.Queue()
    watch = RunsWatch(runs, rows.put)
    watch.start()
    try:
        return {row.name: row for row in rows.get(timeout=90)}
    finally:
        watch.stop()


def test_every_list_shows_the_same(samples: Path, evolve: Evolve) -> None:
    rows = listed_by_application(samples)
    listed = evolve("runs", "--runs", samples, "--json").json
    assert [entry["name"] for entry in listed] == list(rows)
    for entry in listed:
        row = rows[entry["name"]]
        assert (row.status, row.task, row.rounds, row.nodes, row.host) == tuple(
            entry[key] for key in ("status", "task", "rounds", "nodes", "host")
        )
        assert row.best is not None
        assert (row.best.score, row.best.fitness) == (entry["best"]["score"], entry["best"]["fitness"])
        assert row.ranking.key == entry["ranked_by"] and row.started == started_ms(entry)


def test_fork_starts_where_it_leaves_the_other_run(samples: Path, evolve: Evolve) -> None:
    started = "2026-11-22T07:54:01Z"
    run = Run(samples / "circle_packing_fork")
    assert summarize(run)["started"] == started
    assert evolve("show", "circle_packing_fork", "--runs", samples, "--json").json["started"] == started
    row = listed_by_application(samples)["circle_packing_fork"]
    assert row.started == started_ms(summarize(run)) == 1_795_334_041_000


@pytest.mark.parametrize("name", SAMPLES)
def test_show_export_and_closing_object_show_the_summary(name: str, evolve: Evolve, tmp_path: Path) -> None:
    run = Run(ROOT / "sample_runs" / name)
    summary = summarize(run)
    shown = evolve("show", name, "--runs", run.folder.parent, "--json").json
    assert {key: shown[key] for key in summary} == summary
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
        kept = kept_summary(reader)
        assert summary_now(run, state) == summary
        # Early versions kept no fitness and no way to a record: only a fold tells that of runs that have them.
        early = "to_record" not in (reader.meta("summary") or "")
        assert (kept is None) == (early and (state.ranking.by_fitness or bool(state.spec.records)))
        assert kept is None or run_summary(run, kept, False) == summary
        assert read_record(run, reader).summary == summary
    closing = closing_object(state, summary)
    assert {key: closing[key] for key in closing if key != "seconds"} == {
        key: summary[key]  # type: ignore[literal-required]
        for key in ("run", "status", "reason", "rounds", "nodes", "best")
    }
    export_run(run, tmp_path / "run.json")
    exported = json.loads((tmp_path / "run.json").read_text())
    assert {key: exported[key] for key in summary if key != "nodes"} == {
        key: value for key, value in summary.items() if key != "nodes"
    }


@pytest.mark.parametrize(
    ("recorded", "alive", "dead"),
    [
        ("running", "running", "dead"),
        ("paused", "paused", "dead"),
        # The engine that resumes it has not said so yet.
        ("stopped", "running", "stopped"),
        ("finished", "running", "finished"),
        ("failed", "running", "failed"),
    ],
)
def test_status_follows_from_the_journal_and_the_lock(recorded: str, alive: str, dead: str) -> None:
    assert (current_status(recorded, True), current_status(recorded, False)) == (alive, dead)


def test_last_words_of_a_dead_engine_are_no_reason(tmp_path: Path, evolve: Evolve) -> None:
    run = make_run(tmp_path / "runs" / "one", 5)
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    connection = connect_writer(run.db)
    insert_event(connection, ev.Event(state.seq + 1, state.at, None, None, ev.RunPaused(reason="no model answers")))
    connection.close()
    where = ("one", "--runs", tmp_path / "runs")
    (listed,), shown = evolve("runs", *where[1:], "--json").json, evolve("show", *where, "--json").json
    assert (listed["status"], listed["reason"]) == (shown["status"], shown["reason"]) == ("dead", "")
    with lock_run(run):
        (listed,), shown = evolve("runs", *where[1:], "--json").json, evolve("show", *where, "--json").json
    assert (listed["status"], listed["reason"]) == (shown["status"], shown["reason"]) == ("paused", "no model answers")
