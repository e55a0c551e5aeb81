"""A journal whose events contradict each other: every reader names the file and the event, with asserts off too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import DamagedJournal, JournalError
from engine.export.record import read_record
from engine.journal import events as ev
from engine.journal.database import connect_writer, create_journal, insert_event
from engine.journal.reader import JournalReader
from engine.loop.past import recall_past
from engine.priors.usage import fold_use
from engine.runs.compare import read_compared
from engine.runs.folder import Run
from engine.state.fold import apply, fold, fold_run
from engine.state.timeline import run_timeline
from tests.tui.synthetic import make_run

ROOT = Path(__file__).parents[2]
SPEC = {"name": "t", "direction": "maximize"}

DAMAGES: dict[str, tuple[ev.Data, int | None, int | None]] = {
    "node out of order": (ev.DesignDone("0" * 64, "tune", "n", "", [0]), 1, 999),
    "node before its parent": (ev.DesignDone("0" * 64, "tune", "n", "", [999]), 1, None),
    "result of no node": (ev.EvalDone("ok", 1.0), 1, 999),
    "result without a node": (ev.EvalDone("ok", 1.0), 1, None),
    "lesson of no node": (ev.AnalyzeDone("l"), 1, -1),
    "best of no node": (ev.BestCrowned(1.0, 0), 1, 999),
    "parent that is no node": (ev.LearnDone(-1), 1, None),
    "inspiration that is no node": (ev.LearnDone(0, [999]), 1, None),
    "pin of no node": (ev.NodePinned(), None, 999),
    "rerun of no node": (ev.NodeRerun(1), None, 999),
    "comment on no node": (ev.NodeCommented("c"), None, 999),
    "round without a number": (ev.RoundStarted(), None, None),
    "end without a round": (ev.RoundEnded("node"), None, None),
    "second start": (ev.RunStarted("t", {}, SPEC, {}), None, None),
    "settings that cannot be": (ev.SettingsChanged({"rounds": "many"}), None, None),
    "task that cannot be": (ev.TaskChanged({}, adopted=True, spec={"name": 1}), None, None),
}

SHOW_ALL = """
import contextlib, io, json, sys
from engine.cli import main

assert False, "asserts are on"
folder, count = sys.argv[1], int(sys.argv[2])
told = []
for number in range(count):
    sys.argv = ["evolve", "show", f"{folder}/run{number}"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as exc:
            told.append([exc.code, said.getvalue()])
print(json.dumps(told))
"""
"""Runs `evolve show` for a number of runs in one interpreter; prints exit codes and what was said."""


def read_by_engine(run: Run) -> object:
    return recall_past(run)


def with_reader(read: Callable[[Run, JournalReader], object]) -> Callable[[Run], object]:
    def open_and_read(run: Run) -> object:
        with JournalReader(run.db) as reader:
            return read(run, reader)

    return open_and_read


READERS: dict[str, Callable[[Run], object]] = {
    "fold": with_reader(lambda run, reader: fold_run(reader)),
    "export": with_reader(read_record),
    "compare": read_compared,
    "use of priors": with_reader(lambda run, reader: fold_use(reader)),
    "timeline": with_reader(lambda run, reader: run_timeline(reader).at(reader.last_seq())),
    "engine": read_by_engine,
}


def events_of(run: Run) -> list[ev.Event]:
    with JournalReader(run.db) as reader:
        return list(reader.events())


def damage(run: Run, name: str) -> ev.Event:
    """Append an event that contradicts those before it."""
    state = fold(events_of(run))
    data, round_, node = DAMAGES[name]
    if name == "node before its parent":
        node = len(state.nodes)
    event = ev.Event(state.seq + 1, state.at, round_, node, data)
    connection = connect_writer(run.db)
    insert_event(connection, event)
    connection.close()
    return event


def write(folder: Path, *events: ev.Event) -> Run:
    """Write some events as a journal."""
    folder.mkdir()
    connection = create_journal(folder / "run.db")
    for event in events:
        insert_event(connection, event)
    connection.close()
    return Run(folder)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of four nodes."""
    return make_run(tmp_path / "run", 4)


@pytest.mark.parametrize("name", DAMAGES)
def test_fold_raises_for_a_contradiction(run: Run, name: str) -> None:
    state = fold(events_of(run))
    event = damage(run, name)
    with pytest.raises(DamagedJournal) as raised:
        apply(state, event)
    assert raised.value.seq == event.seq


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_file_and_event(run: Run, reader: str) -> None:
    seq = damage(run, "result of no node").seq
    with pytest.raises(DamagedJournal) as raised:
        READERS[reader](run)
    assert str(raised.value) == f"{run.db} is damaged at event {seq}: eval.done: there is no node 999"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("events", [[], [ev.Event(1, 0, 1, None, ev.RoundStarted())]], ids=["empty", "another event"])
def test_every_reader_tells_a_journal_without_a_run(tmp_path: Path, reader: str, events: list[ev.Event]) -> None:
    run = write(tmp_path / "run", *events)
    with pytest.raises(JournalError, match="holds no run: its first event is missing"):
        READERS[reader](run)


@pytest.mark.parametrize(
    "start",
    [ev.RunStarted("t", {}, {"name": 1}, {}), ev.RunStarted("t", {"rounds": "many"}, SPEC, {})],
    ids=["task", "settings"],
)
def test_first_event_is_checked_too(tmp_path: Path, start: ev.RunStarted) -> None:
    run = write(tmp_path / "run", ev.Event(1, 0, None, None, start))
    with JournalReader(run.db) as reader, pytest.raises(DamagedJournal, match=r"is damaged at event 1: run\.started"):
        fold_run(reader)


def test_damage_is_told_with_asserts_off(tmp_path: Path) -> None:
    """`python -O` leaves out asserts; the command line says the same and exits with 1."""
    seqs = [damage(make_run(tmp_path / f"run{number}", 4), name).seq for number, name in enumerate(DAMAGES)]
    done = subprocess.run(
        [sys.executable, "-O", "-c", SHOW_ALL, str(tmp_path), str(len(DAMAGES))],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    for name, seq, (code, said) in zip(DAMAGES, seqs, json.loads(done.stdout), strict=True):
        assert code == 1 and f"run.db is damaged at event {seq}" in said, (name, code, said)
