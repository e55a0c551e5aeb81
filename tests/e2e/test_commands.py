"""Control of a run from the command line: each command is answered, recorded and carried out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from engine.evaluation.sandbox import find_sandbox
from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from tests.conftest import COMMAND, EVALUATE, Evolve, TaskMaker
from tests.e2e.runs import (
    HELD,
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    let_go,
    make_run,
    slow_evaluate,
    start_engine,
    wait_for,
    wait_for_event,
)

SLOW = slow_evaluate(0.3)


def outcome(run: Run) -> list[tuple[object, ...]]:
    """Return the results of a run without times."""
    found: list[tuple[object, ...]] = []
    for event in events(run):
        match event.data:
            case ev.DesignDone() as d:
                found.append((event.round, event.node, d.operator, tuple(d.parents), d.program, d.name))
            case ev.EvalDone() as d:
                found.append((event.node, d.status, d.score))
            case ev.LearnDone() as d:
                found.append(
                    (event.round, d.parent, tuple(d.inspirations), tuple((p.id, p.revision) for p in d.priors))
                )
            case ev.DesignRejected() as d:
                found.append((event.round, d.attempt, d.check, d.program))
    return found


def test_one_worker_and_seed_reproduce_run(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(
        priors={"a.md": "# Faster\n\n```python recipe\ndef left():\n    return X + Z\n```\n", "b.md": "# Other\n"}
    )
    runs = [make_run(task, tmp_path / f"runs{n}", rounds=15, workers=1, seed=5) for n in range(2)]
    states = [finish(run, cold=True) for run in runs]
    assert outcome(runs[0]) == outcome(runs[1])
    assert len(states[0].nodes) > 10
    other = make_run(task, tmp_path / "other", rounds=15, workers=1, seed=6)
    finish(other)
    assert outcome(other) != outcome(runs[0])


def test_resume_reproduces_uninterrupted_run(make_task: TaskMaker, tmp_path: Path) -> None:
    whole = make_run(make_task(), tmp_path / "whole", rounds=6, workers=1, seed=3)
    finish(whole, cold=True)
    # Slow enough that none of its engines is done before it is stopped.
    slow = make_task("slow", evaluate=slow_evaluate(0.8))
    torn = make_run(slow, tmp_path / "torn", rounds=6, workers=1, seed=3)
    for _ in range(3):
        count = len(events(torn))
        engine = start_engine(torn)
        wait_for(lambda: len(events(torn)) > count + 9, "progress")  # noqa: B023
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(90) == 1
        assert fold(torn).reason == "SIGTERM received"
    finish(torn)
    assert outcome(torn) == outcome(whole)
    check_complete(torn, 6)


def test_headless_run_prints_one_object_at_end(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(evaluate=EVALUATE, guarded=True)
    done = evolve("run", task, "--headless", "--json", "--rounds", 4, "--seed", 2, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    found = done.json
    assert list(found) == ["run", "status", "reason", "rounds", "nodes", "best", "seconds"]
    assert (found["status"], found["rounds"]) == ("finished", 4)
    state = fold(Run(Path(found["run"])))
    best = state.best_node
    assert best is not None
    assert found["best"] == {"node": best.id, "score": best.score, "fitness": best.fitness}
    assert ("guarded" if find_sandbox().guards else "limits, open: ") in done.err
    assert "4/4 rounds" in done.err
    printed = evolve("best", "--runs", tmp_path / "runs")
    assert printed.out == (Path(found["run"]) / "best.py").read_text()
    assert "def point" in printed.out


def test_runs_show_events_and_diff_agree(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("first", "second"):
        assert (
            evolve("run", make_task(name=name), "--headless", "--rounds", 3, "--runs", runs, "--name", name).code == 0
        )
    listed = evolve("runs", "--json", "--runs", runs).json
    assert [(entry["name"], entry["status"], entry["rounds"], entry["task"]) for entry in listed] == [
        ("second", "finished", 3, "point"),
        ("first", "finished", 3, "point"),
    ]
    shown = evolve("show", "fir", "--json", "--runs", runs).json
    assert shown["nodes"] == len(shown["nodelist"]) == 4
    assert set(shown["nodelist"][1]) == {
        "id", "parents", "round", "status", "score", "fitness", "operator", "name", "priors", "quarantined",
        "broken",
    }  # fmt: skip
    node = evolve("show", "first", 1, "--json", "--runs", runs).json
    assert "def point" in node["code"]
    assert node["stages"][0]["status"] == node["status"]
    assert "def point" in evolve("show", "first", 1, "--runs", runs).out
    lines = [json.loads(line) for line in evolve("events", "first", "--runs", runs).out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0]) == {"seq", "at", "kind", "round", "node", "data"}
    assert lines[-1]["kind"] == "run.finished"
    since = evolve("events", "first", "--since", len(lines) - 1, "--runs", runs).out.splitlines()
    assert [json.loads(line) for line in since] == lines[-1:]
    diff = evolve("diff", "first", 0, 1, "--runs", runs).out.splitlines()
    assert diff[:2] == ["--- node 0", "+++ node 1"]
    assert evolve("show", "first", 99, "--runs", runs).code == 1


def test_pause_step_resume_and_set(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10_000, workers=2)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.RoundEnded) and e.round, "a round")
    where = ("--runs", tmp_path / "runs")
    assert "paused" in evolve("pause", *where).out
    wait_for(lambda: not any(e.running for e in fold(run).evaluations.values()), "the running stages")
    before = fold(run)
    assert before.status == "paused"
    assert "to its end" in evolve("step", *where).out
    wait_for(lambda: fold(run).rounds_done == before.rounds_done + 1, "one more round")
    count = len(events(run))
    refused = evolve("set", run.name, "rounds=x", *where)
    assert (refused.code, "rounds" in refused.err) == (2, True)
    assert evolve("set", run.name, "seed=4", *where).code == 2
    assert evolve("set", run.name, "designer=llm", *where).code == 2, "the designer is fixed"
    assert "sampler.name" in evolve("set", run.name, "sampler=best", *where).err
    assert evolve("set", run.name, f"rounds={fold(run).rounds_started}", *where).out.startswith("rounds = ")
    # The machine is watched all the same.
    after = [e for e in events(run)[count:] if not isinstance(e.data, ev.Telemetry)]
    assert {type(e.data) for e in after} == {ev.SettingsChanged, ev.CommandDone}, "nothing else happens while paused"
    assert "it is paused already" in evolve("pause", *where).out
    assert evolve("resume", *where).code == 0
    assert engine.wait(90) == 0, run.log.read_text()
    check_integrity(run)
    check_complete(run, fold(run).settings.rounds)
    assert evolve("pause", *where).err.startswith("error: run ")


def test_pause_at_a_later_moment(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    """Asked for while the run goes on, and while it rests; an engine that is killed forgets none."""
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10_000, workers=1)
    where = ("--runs", tmp_path / "runs")
    assert evolve("pause", "--at", "3", *where).out == "it pauses when round 3 ends\n"
    engine = start_engine(run)
    wait_for(lambda: fold(run).status == "paused", "the pause")
    state = fold(run)
    assert (state.reason, state.rounds_done, state.rounds_started) == ("round 3 has ended, as asked", 3, 3)
    refused = evolve("pause", "--at", "2", *where)
    assert (refused.code, "round 2 has ended" in refused.err) == (1, True)
    assert "no round 20000" in evolve("pause", "--at", "20000", *where).err
    assert evolve("pause", "--at", "soon", *where).code == evolve("pause", "--at", "5", "--now", *where).code == 2
    assert evolve("pause", "--at", "best", *where).out == "it pauses at the next new best\n"
    assert "pauses at the next new best" in evolve("show", *where).out
    assert "already" in evolve("pause", "--at", "best", *where).out
    engine.kill()
    engine.wait(90)
    best = fold(run).best
    engine = start_engine(run)
    wait_for(lambda: fold(run).status == "paused" and fold(run).best != best, "the pause at a new best")
    state = fold(run)
    assert state.reason == f"#{state.best} is a new best, as asked" and state.armed is None
    assert "no pause was to come" in evolve("pause", "--at", "off", *where).out
    assert evolve("pause", "--at", "9999", *where).code == 0
    assert evolve("pause", "--at", "off", *where).out == "it does not pause by itself any more\n"
    assert evolve("stop", *where).code == 0
    assert engine.wait(90) == 1, run.log.read_text()
    check_integrity(run)


def test_pause_now_freezes_evaluation_and_its_clock(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=HELD, seconds=4), tmp_path / "runs", rounds=0)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalProgress), "progress")
    send_command(run.db, "pause", {"now": True})
    wait_for(lambda: fold(run).frozen, "the pause")
    let_go(run)
    time.sleep(4.5)  # longer than the evaluation may take
    assert fold(run).nodes[0].status is None
    assert "still" in events(run, ev.CommandDone)[0].data.result  # type: ignore[attr-defined]
    assert evolve("resume", "--runs", tmp_path / "runs").code == 0
    assert engine.wait(90) == 0
    node = fold(run).nodes[0]
    assert node.status == "ok"
    assert node.seconds < 4


@pytest.mark.parametrize("now", [False, True])
def test_stop_ends_engine_and_resume_continues(make_task: TaskMaker, evolve: Evolve, tmp_path: Path, now: bool) -> None:
    slower = SLOW.replace("sleep(0.3)", "sleep(1.5)")
    run = make_run(make_task(evaluate=slower), tmp_path / "runs", rounds=8, workers=2)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalStarted) and e.round, "an evaluation")
    where = ("--runs", tmp_path / "runs")
    assert "stopping" in evolve("stop", *(["--now"] if now else []), *where).out
    assert engine.wait(90) == 1
    state = fold(run)
    assert (state.status, state.reason) == ("stopped", "stopped by hand")
    assert evolve("runs", "--json", *where).json[0]["status"] == "stopped"
    kept = evolve("set", run.name, "rounds=5", *where)
    assert "next start" in kept.out
    done = evolve("resume", "--headless", "--json", *where)
    assert (done.code, done.json["rounds"]) == (0, 5)
    check_integrity(run)
    check_complete(run, 5)


def test_finished_run_continues_only_with_raised_limit(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs")
    first = evolve("run", make_task(), "--headless", "--json", "--rounds", 2, *where).json
    count = len(events(Run(Path(first["run"]))))
    again = evolve("resume", "--headless", "--json", *where)
    assert (again.code, again.json) == (0, first)
    assert len(events(Run(Path(first["run"])))) == count
    run = Run(Path(first["run"]))
    assert f"'evolve resume {run.typed} --rounds 52' goes on with it" in evolve("resume", *where).err
    more = evolve("resume", "--headless", "--json", "--rounds", 4, *where)
    assert (more.code, more.json["rounds"]) == (0, 4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--target", "-4"], "the target -4 is reached"),
        (["--patience", "3"], "no new best in 3 rounds"),
    ],
)
def test_target_and_patience_finish_run(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, options: list[str], reason: str
) -> None:
    done = evolve("run", make_task(), "--headless", "--json", "--rounds", 200, "--runs", tmp_path / "runs", *options)
    assert (done.code, done.json["reason"]) == (0, reason)
    assert done.json["rounds"] < 200


def test_hours_stop_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    done = evolve("run", make_task(), "--headless", "--json", "--rounds", 5000, "--hours", 0.0005, "--runs", tmp_path)
    assert (done.code, done.json["status"]) == (1, "stopped")
    assert "hours" in done.json["reason"]


def test_ctrl_c_stops_headless_run_cleanly(make_task: TaskMaker, tmp_path: Path) -> None:
    task, runs = str(make_task(evaluate=SLOW)), str(tmp_path / "runs")
    command = [*COMMAND, "run", task, "--headless", "--json", "--rounds", "10000", "--runs", runs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list((tmp_path / "runs").glob("*/run.db")), "the run")
    run = Run(next((tmp_path / "runs").glob("*")))
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalStarted) and e.round, "an evaluation")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["reason"] == "SIGINT received"
    assert "Traceback" not in err
    assert fold(run).status == "stopped"
    check_integrity(run)


def test_reason_of_a_person_is_not_taken_for_a_signal(make_task: TaskMaker, tmp_path: Path) -> None:
    task, runs = str(make_task(evaluate=SLOW)), str(tmp_path / "runs")
    command = [*COMMAND, "run", task, "--headless", "--json", "--rounds", "10000", "--runs", runs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list((tmp_path / "runs").glob("*/run.db")), "the run")
    run = Run(next((tmp_path / "runs").glob("*")))
    wait_for_event(run, lambda e: isinstance(e.data, ev.EvalStarted) and e.round, "an evaluation")
    send_command(run.db, "stop", {"reason": "SIGINT is not what ended it", "now": True})
    process.communicate(timeout=90)
    assert process.returncode == 1
    assert fold(run).status == "stopped"


def test_detached_run_survives_its_starter_and_can_be_followed(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    where = ("--runs", tmp_path / "runs")
    path = evolve("run", make_task(evaluate=slow_evaluate(0.8)), "--detach", "--rounds", 8, *where).out.strip()
    run = Run(Path(path))
    assert is_alive(run)
    wait_for(lambda: fold(run).engine, "its engine's first word")
    assert os.getsid(fold(run).engine.pid) != os.getsid(0)  # type: ignore[union-attr]
    followed = evolve("resume", "--headless", "--json", *where)
    assert (followed.code, followed.json["rounds"]) == (0, 8)
    check_complete(run, 8)


def test_relative_runs_folder_works(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    monkeypatch.chdir(tmp_path)
    started = evolve("run", task, "--detach", "--rounds", 1, "--name", "r", "--runs", "here")
    assert (started.code, started.out.strip()) == (0, str(tmp_path / "here" / "r")), started.err
    run = Run(tmp_path / "here" / "r")
    wait_for(lambda: not is_alive(run), "its end")
    assert evolve("resume", "r", "--rounds", 2, "--runs", "here").code == 0
    wait_for(lambda: not is_alive(run), "its end")
    check_complete(run, 2)


def test_next_round_learns_edited_prior(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task = make_task(evaluate=SLOW, priors={"hint.md": "# Old words\n\nAbout the score.\n"})
    run = make_run(task, tmp_path / "runs", rounds=10_000, workers=1)
    engine = start_engine(run)
    wait_for_event(run, lambda e: isinstance(e.data, ev.LearnDone), "a learn stage")
    where = ("--runs", tmp_path / "runs")
    evolve("pause", *where)
    wait_for(lambda: not any(e.running for e in fold(run).evaluations.values()), "the running stages")
    old = events(run, ev.LearnDone)
    (task / "priors" / "hint.md").write_text("# New words\n\nAbout the score, corrected.\n")
    (task / "priors" / "extra.md").write_text("# Extra\n")
    evolve("resume", *where)
    wait_for(lambda: len(events(run, ev.LearnDone)) > len(old) + 1, "the next learn stage")
    engine.send_signal(signal.SIGTERM)
    engine.wait(90)
    assert {p.title for e in old for p in e.data.priors} == {"Old words"}  # type: ignore[attr-defined]
    new = events(run, ev.LearnDone)[-1].data
    assert isinstance(new, ev.LearnDone)
    assert {p.title for p in new.priors} == {"New words", "Extra"}
    shown = next(p for p in new.priors if p.id == "hint")
    with JournalReader(run.db) as reader:
        assert reader.text(shown.revision) == "# New words\n\nAbout the score, corrected.\n"
    changes = [(e.data.id, e.data.change) for e in events(run, ev.PriorChanged)]  # type: ignore[attr-defined]
    assert sorted(changes) == [("extra", "added"), ("hint", "edited")]


def test_second_engine_is_refused(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10_000)
    engine = start_engine(run)
    wait_for(lambda: is_alive(run), "the engine")
    second = start_engine(run)
    assert second.wait(90) == 1
    assert f"already has an engine (host {os.uname().nodename}, pid {engine.pid}" in run.log.read_text()
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    assert evolve("runs", "--json", "--runs", tmp_path / "runs").json[0]["status"] == "dead"
    check_integrity(run)


def test_stale_command_does_not_reach_next_engine(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=2)
    number = send_command(run.db, "stop")
    state = finish(run)
    assert state.status == "finished"
    with JournalReader(run.db) as reader:
        command = reader.command(number)
    assert command is not None
    assert "had ended" in command.result
