"""Requests to a run without an engine are carried out, kept for the next engine, or refused with advice."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.asking import ask
from engine.runs.command_kinds import COMMANDS, Answer
from engine.runs.folder import Run, is_alive, lock_run
from engine.runs.status import summarize
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import (
    NOISY,
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    slow_evaluate,
    start_engine,
    wait_for,
    wait_for_event,
)

SLOW = slow_evaluate(0.5, NOISY)
PROGRAM = "def point():\n    return [3.0, 1.0]\n"


@pytest.fixture
def finished(make_task: TaskMaker, tmp_path: Path) -> Run:
    """Return a finished run."""
    run = make_run(make_task(evaluate=NOISY), tmp_path / "runs", rounds=5, workers=1)
    assert finish(run).status == "finished"
    return run


def leave(run: Run, how: str) -> None:
    """Start a run's engine and end it early: `stopped` by a person, or `dead`."""
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.RoundEnded) and e.round == 2, "two rounds")
    if how == "stopped":
        assert ask(run, "stop").ok
    else:
        engine.kill()
    engine.wait(90)
    # A child that the engine was just starting holds the lock for a moment longer.
    wait_for(lambda: summarize(run)["status"] == how, f"the {how} run")


@pytest.fixture
def stopped(make_task: TaskMaker, tmp_path: Path) -> Run:
    """Return a run that a person stopped."""
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10, workers=1)
    leave(run, "stopped")
    return run


def is_plain(run: Run) -> bool:
    """Tell whether the journal is one plain file that can be copied."""
    connection = sqlite3.connect(f"{run.db.as_uri()}?mode=ro", uri=True)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return mode == "delete" and not Path(f"{run.db}-wal").exists()


def unanswered(run: Run) -> list[str]:
    """List kinds of the commands that wait for an engine."""
    with JournalReader(run.db) as reader:
        return [command.kind for command in reader.pending()]


def test_finished_run_accepts_marks_and_comments(finished: Run, evolve: Evolve) -> None:
    where = ("--runs", finished.folder.parent)
    before = fold(finished)
    assert evolve("star", finished.name, 2, *where).out == "node 2 is starred\n"
    assert evolve("comment", finished.name, 2, "look", "here", *where).out == "noted\n"
    assert evolve("comment", finished.name, "all in all", *where).out == "noted\n"
    pinned = evolve("pin", finished.name, 0, *where).out
    assert pinned.startswith("node 0 is pinned; the run is finished: 'evolve resume ")
    assert "are pruned" in evolve("prune", finished.name, 0, "--subtree", *where).out
    assert evolve("restore", finished.name, 1, *where).code == 0
    state = fold(finished)
    assert (state.nodes[2].starred, state.nodes[2].comments, state.comments) == (True, ("look here",), ["all in all"])
    assert [node.id for node in state.nodes if not node.pruned] == [1]
    assert not state.pinned, "what is pruned is pinned no longer"
    assert (state.status, state.engine_ms) == ("finished", before.engine_ms)
    assert {(e.data.command, e.data.name, e.data.ok, e.data.code) for e in events(finished, ev.CommandDone)} == {  # type: ignore[attr-defined]
        (number, name, True, "done")
        for number, name in enumerate(("star", "comment", "comment", "pin", "prune", "restore"), 1)
    }
    assert events(finished, ev.NodeStarred)[0].round == state.nodes[2].round
    assert not unanswered(finished)
    assert is_plain(finished)
    # The list of runs needs no fold: what was kept for it is as new as the journal.
    with JournalReader(finished.db) as reader:
        assert f'"seq":{reader.last_seq()},' in (reader.meta("summary") or "")
    check_integrity(finished)


def test_invalid_request_without_engine_is_refused_at_once(finished: Run, evolve: Evolve) -> None:
    where = ("--runs", finished.folder.parent)
    last = fold(finished).seq
    for words, told in {
        ("pin", finished.name, 99): "there is no node 99; the nodes are 0 to 5",
        ("star", finished.name, 99): "there is no node 99",
        ("comment", finished.name, " "): "the comment is empty",
        ("inject", finished.name, "--hint", "  "): "the hint is empty",
        ("rerun", finished.name, 1): "the run is finished, and measures nothing more: 'evolve resume ",
        ("set", finished.name, "seed=4"): "seed cannot change",
        ("pause", finished.name): "no engine is at work, the run is finished. 'evolve resume",
        ("step", finished.name): "no engine is at work, the run is finished",
        ("stop", finished.name): "no engine is at work, the run is finished",
    }.items():
        done = evolve(*words, *where)
        assert (done.code in (1, 2), done.out) == (True, ""), words
        assert told in done.err and done.err.startswith("error: "), done.err
    assert fold(finished).seq == last
    assert not unanswered(finished)
    assert is_plain(finished)


def test_kept_requests_are_checked_and_done_by_next_engine(stopped: Run, evolve: Evolve, tmp_path: Path) -> None:
    where = ("--runs", stopped.folder.parent)
    program = tmp_path / "mine.py"
    program.write_text(PROGRAM)
    state = fold(stopped)
    kept = "kept for the run's next start: "
    assert evolve("rerun", stopped.name, 0, *where).out == f"{kept}node 0 is measured once more\n"
    assert evolve("set", stopped.name, "rounds=8", *where).out == f"{kept}rounds = 8 (was 10)\n"
    given = evolve("inject", stopped.name, "--program", program, *where)
    assert given.out == f"{kept}it takes round {state.rounds_started + 1}\n"
    again = evolve("inject", stopped.name, "--program", program, *where)
    assert (again.code, "waits for its round already" in again.err) == (1, True), "what is kept counts"
    assert "node 0 is measured anyway" in evolve("rerun", stopped.name, 0, *where).err
    assert evolve("inject", stopped.name, "--hint", "go left", *where).out.startswith(kept)
    assert evolve("pin", stopped.name, 1, *where).out == "node 1 is pinned\n"
    assert unanswered(stopped) == ["rerun", "set", "inject", "inject"]
    assert is_plain(stopped)
    assert evolve("resume", stopped.name, "--headless", *where).code == 0
    check_complete(stopped, 8)
    check_integrity(stopped)
    after = fold(stopped)
    assert after.nodes[0].measurements == 2
    assert after.hints == ["go left"]
    mine = next(node for node in after.nodes if node.operator == "injected")
    assert mine.round == state.rounds_started + 1
    answers = [e.data for e in events(stopped, ev.CommandDone)]
    assert all(answer.ok for answer in answers), answers  # type: ignore[attr-defined]


def test_extended_run_is_measured_again(finished: Run) -> None:
    assert ask(finished, "rerun", {"node": 1}).code == "finished"
    assert ask(finished, "set", {"settings": {"rounds": 7}}).code == "kept"
    assert ask(finished, "rerun", {"node": 1}).code == "kept"
    finish(finished)
    check_complete(finished, 7)
    assert fold(finished).nodes[1].measurements == 2


def test_run_of_dead_engine_accepts_marks_and_resumes(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=6, workers=2)
    leave(run, "dead")
    for node in (0, 1):
        assert ask(run, "star", {"node": node}) == Answer(True, "done", f"node {node} is starred")
    assert ask(run, "star", {"node": 1}) == Answer(True, "unchanged", "it is starred already")
    assert summarize(run)["status"] == "dead"
    assert len(events(run, ev.EngineGone)) == 1
    finish(run)
    check_complete(run, 6)
    check_integrity(run)
    assert [node.starred for node in fold(run).nodes[:3]] == [True, True, False]


def test_concurrent_writers_lose_nothing(finished: Run) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.runs import folder; from engine.runs.asking import ask\n"
        "folder._LOCK_SECONDS, Run = 90.0, folder.Run\n"  # on a slow disk two writers take longer than the third waits
        "for n in range(8): assert ask(Run(Path(sys.argv[1])), 'comment', {'text': sys.argv[2] + str(n)}).ok"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(finished.folder), who], cwd=Path(__file__).parents[2])
        for who in "abc"
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(summarize(finished)["status"])
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert sorted(fold(finished).comments) == sorted(f"{who}{n}" for who in "abc" for n in range(8))
    assert seen == {"finished"}, "whoever writes is no engine"
    check_integrity(finished)


def test_requests_left_by_engine_are_done_or_kept(finished: Run) -> None:
    def while_alive(kind: str, data: dict[str, Any]) -> Answer:
        with ThreadPoolExecutor(1) as pool:
            with lock_run(finished):
                assert is_alive(finished)
                asked = pool.submit(ask, finished, kind, data)
                wait_for(lambda: kind in unanswered(finished), "the command")
            return asked.result(90)

    assert while_alive("star", {"node": 1}) == Answer(True, "done", "node 1 is starred")
    assert fold(finished).nodes[1].starred
    assert while_alive("pause", {}) == Answer(False, "ended", "the engine ended before it answered")
    assert while_alive("set", {"settings": {"rounds": 6}}).code == "kept"
    assert unanswered(finished) == ["pause", "set"], "each stands there once"
    finish(finished)
    check_complete(finished, 6)
    assert [e.data.code for e in events(finished, ev.CommandDone)] == ["done", "ended", "done"]  # type: ignore[attr-defined]


def test_writer_does_not_count_as_engine(finished: Run) -> None:
    with lock_run(finished, engine=False):
        assert not is_alive(finished)
    asked: list[Answer] = []
    waiting = threading.Event()

    def work() -> None:
        waiting.set()
        asked.append(ask(finished, "star", {"node": 1}))

    with lock_run(finished, engine=False):
        thread = threading.Thread(target=work)
        thread.start()
        waiting.wait(90)
    thread.join(90)
    assert asked == [Answer(True, "done", "node 1 is starred")]


FORKS = """\
import json, os, sys
from engine.cli import main

for number, words in enumerate(json.loads(sys.argv[1])):
    if not os.fork():
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
        sys.argv = ["evolve", *words]
        main()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
"""Runs commands one after another, whose output goes to files."""


@pytest.mark.needs("unshare", "mount")
def test_read_only_run_is_reported(finished: Run, tmp_path: Path) -> None:
    kinds = sorted(kind for kind, rule in COMMANDS.items() if rule.when_no_engine != "refuse")
    words = {
        "set": ["rounds=9"],
        "inject": ["--hint", "left"],
        "comment": ["words"],
        "arm": ["--at", "best"],
        "undo": [],
    }
    # Root writes through permissions, so a read-only bind mount makes the folder what it is to others.
    folder = finished.folder
    told = [[{"arm": "pause"}.get(kind, kind), str(folder), *words.get(kind, ["1"])] for kind in kinds]
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && exec \"$@\""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", FORKS,
         json.dumps(told)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == ["1"] * len(kinds), done.stderr
    for number, kind in enumerate(kinds):
        out, err = ((tmp_path / f"{number}.{name}").read_text() for name in ("out", "err"))
        assert (kind, out) == (kind, "")
        assert err.startswith("error: run ") and "can only be read" in err, (kind, err)
        assert "evolve fork" in err and "Traceback" not in err, (kind, err)
    assert not unanswered(finished)
