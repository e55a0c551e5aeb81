"""Odd inputs and race conditions that once hung, lost or damaged a run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from engine.errors import TaskError
from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event, send_command
from engine.journal.events import encode_data
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.settings.decode import convert_table
from engine.task.spec import Limits
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    slow_evaluate,
    start_engine,
    wait_for,
)

SLOW = slow_evaluate(1.0)


def test_numbers_invalid_in_json_are_refused(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    for data in (ev.BestCrowned(float("nan")), ev.EvalProgress("explore", values={"a": float("inf")})):
        with pytest.raises(ValueError, match="not finite"):
            encode_data(data)
    with pytest.raises(TaskError, match="limits: seconds: must be a finite number"):
        convert_table({"seconds": float("inf")}, Limits, "limits", TaskError)
    task = make_task()
    done = evolve("run", task, "--set", "sampler.c=nan", "--runs", tmp_path / "runs")
    assert (done.code, "finite" in done.err, "Traceback" in done.err) == (2, True, False)
    assert evolve("run", task, "--set", "hours=-5", "--runs", tmp_path / "runs").code == 2


def test_prior_with_odd_name_or_weight_does_not_hang_engine(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(priors={"heavy.md": "---\nweight: 1e308\n---\n# Score\n", "good.md": "# Score\n"})
    with open(os.fsencode(task / "priors") + b"/\xff.md", "w") as file:
        file.write("# Odd\n")
    run = make_run(task, tmp_path / "runs", rounds=4)
    finish(run)
    shown = {prior.id for e in events(run, ev.LearnDone) for prior in e.data.priors}  # type: ignore[attr-defined]
    assert shown == {"good"}
    check_complete(run, 4)


def test_waiting_rerun_is_done_once(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=1)
    finish(run)
    send_command(run.db, "rerun", {"node": 0})
    send_command(run.db, "set", {"settings": {"rounds": 2}})
    state = finish(run)
    assert state.nodes[0].measurements == 2
    assert "Error" not in run.log.read_text()
    check_integrity(run)
    check_complete(run, 2)


def test_request_after_end_is_left_for_next_engine(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=2)
    engine = start_engine(run)
    wait_for(lambda: events(run, ev.RunFinished), "the last word")
    number = send_command(run.db, "rerun", {"node": 0})
    assert engine.wait(90) == 0
    state = fold(run)
    assert state.status == "finished"
    with JournalReader(run.db) as reader:
        command = reader.command(number)
    assert command is not None
    assert not command.done
    assert finish(run).nodes[0].measurements == 2


def test_deep_tree_of_candidate_does_not_stop_resume(make_task: TaskMaker, tmp_path: Path) -> None:
    evaluate = """\
import os, time


def evaluate(path, report):
    report(1, begun=1.0)
    os.chdir(report.scratch)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    report(2, deep=1.0)
    time.sleep(0.5)
    return {"score": 1.0}
"""
    run = make_run(make_task(evaluate=evaluate), tmp_path / "runs", rounds=0)
    engine = start_engine(run)
    wait_for(lambda: any(e.data.step for e in events(run, ev.EvalProgress)), "progress")  # type: ignore[attr-defined]
    time.sleep(0.1)
    engine.kill()
    engine.wait()
    state = finish(run)
    assert state.nodes[0].status == "ok"
    check_complete(run, 0)


def test_many_empty_lines_are_analyzed_quickly(make_task: TaskMaker, tmp_path: Path) -> None:
    evaluate = """\
import sys


def evaluate(path):
    if "X = 0.5\\nY = 0.25\\nZ = 2.0" in open(path).read():
        return {"score": 1.0}
    sys.stderr.write("\\n" * 60000)
    sys.stderr.write('  File "x", line 1, in right\\n' * 3000)
    raise RuntimeError("after the flood")
"""
    run = make_run(make_task(evaluate=evaluate), tmp_path / "runs", rounds=1)
    finish(run)
    done = events(run, ev.EvalDone)[-1]
    analyzed = events(run, ev.AnalyzeDone)[-1]
    assert analyzed.node == done.node == 1
    assert "after the flood" in analyzed.data.lesson  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["../../outside.py", "/tmp/evolve-outside.py"])
def test_foreign_journal_writes_only_in_its_folder(make_task: TaskMaker, tmp_path: Path, name: str) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=1)
    connection = connect_writer(run.db)
    started = events(run, ev.RunStarted)[0]
    assert isinstance(started.data, ev.RunStarted)
    forged = msgspec.structs.replace(started.data, files={**started.data.files, name: started.data.files["seed.py"]})
    connection.execute("DELETE FROM events")
    insert_event(connection, started._replace(data=forged))
    connection.close()
    engine = start_engine(run)
    assert engine.wait(90) == 1
    assert "outside its folder" in run.log.read_text()
    assert not (run.task / name).resolve().exists()


def test_stop_now_ends_starting_evaluation(make_task: TaskMaker, tmp_path: Path) -> None:
    slow = "import time\n\n\ndef evaluate(path):\n    time.sleep(30)\n    return {'score': 1.0}\n"
    run = make_run(make_task(evaluate=slow, seconds=60), tmp_path / "runs", rounds=0)
    engine = start_engine(run)
    wait_for(lambda: events(run, ev.EvalStarted), "the evaluation")
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(90) == 1
    assert fold(run).nodes[0].status is None


def test_unused_steps_are_forgotten_on_resume(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=40, workers=1)
    engine = start_engine(run)
    wait_for(lambda: fold(run).seeds_done, "the seed")
    for kind in ("pause", "step", "step", "step", "resume", "pause", "step"):
        send_command(run.db, kind)
    wait_for(lambda: len(events(run, ev.CommandDone)) == 7, "the answers")
    before = fold(run)
    allowed = before.rounds_started if before.open_rounds else before.rounds_started + 1
    wait_for(lambda: not fold(run).open_rounds and fold(run).rounds_started >= allowed, "the step")
    stepped = fold(run).rounds_started
    count = -1
    while count != len(events(run)):  # until it stands still
        count = len(events(run))
        time.sleep(0.6)
    assert fold(run).rounds_started == stepped, "a paused run goes no further than it was stepped"
    engine.terminate()
    engine.wait()


def test_unread_progress_does_not_end_run(make_task: TaskMaker, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    command = [
        *COMMAND,
        "run",
        str(make_task()),
        "--headless",
        "--json",
        "--rounds",
        "3",
        "--runs",
        str(tmp_path / "r"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    os.close(reading)
    out, _ = process.communicate(timeout=90)
    assert msgspec.json.decode(out.splitlines()[-1])["status"] == "finished"
    check_complete(Run(next((tmp_path / "r").iterdir())), 3)


def test_resume_of_stopping_run_waits_and_continues(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=6, workers=1)
    start_engine(run)
    wait_for(lambda: any(e.round for e in events(run, ev.EvalStarted)), "an evaluation")
    send_command(run.db, "stop")
    wait_for(lambda: events(run, ev.CommandDone), "the answer")
    done = evolve("resume", run.name, "--headless", "--json", "--runs", tmp_path / "runs")
    assert (done.code, done.json["rounds"]) == (0, 6)
    check_complete(run, 6)


def test_settings_of_finished_run_apply_at_resume(make_task: TaskMaker, tmp_path: Path, evolve: Evolve) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=1)
    finish(run)
    where = ("--runs", tmp_path / "runs")
    assert "next start" in evolve("set", run.name, "rounds=3", *where).out
    assert evolve("resume", run.name, "--headless", "--json", *where).json["rounds"] == 3
    assert not is_alive(run)
