"""A command that designs, in a real engine: kill -9 leaves nothing of it, and a resume makes the same run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.conftest import TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    make_run,
    processes_of,
    start_engine,
    wait_for,
)

TOKEN = "1000.4711"
SCRIPT = """
import os, pathlib, random, subprocess, sys
open_, token = sys.argv[1:]
if not os.path.exists(open_):
    pathlib.Path("usage.json").write_text('{"tokens_in": 40, "tokens_out": 2, "usd": 0.25}')
    print("waiting", flush=True)
    subprocess.run(["sh", "-c", f"setsid sleep {token} & sleep {token}"])
rng = random.Random(os.environ["EVOLVE_SEED"])
program = pathlib.Path("program/program.py")
program.write_text(program.read_text().replace("X = ", f"X = {rng.uniform(0, 1):.3f} + "))
print("moved it")
"""


def run_of(task: Path, tmp_path: Path, name: str) -> Run:
    script, flags = tmp_path / "agent.py", tmp_path / name
    script.write_text(SCRIPT)
    flags.mkdir()
    command = {"run": [sys.executable, str(script), str(flags / "open"), TOKEN], "readable": [str(flags)]}
    return make_run(task, tmp_path / name, rounds=3, workers=1, designer={"name": "command"}, command=command)


def programs(run: Run) -> list[str]:
    return [event.data.program for event in events(run, ev.DesignDone) if isinstance(event.data, ev.DesignDone)]


def calls_done(run: Run) -> list[ev.CallDone]:
    return [event.data for event in events(run, ev.CallDone) if isinstance(event.data, ev.CallDone)]


def test_killed_engine_leaves_no_command_and_the_resumed_run_is_the_same(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    run, whole = run_of(task, tmp_path, "killed"), run_of(task, tmp_path, "whole")
    engine = start_engine(run)
    wait_for(lambda: len(processes_of(TOKEN)) >= 3, "the command and what it starts")
    wait_for(lambda: events(run, ev.CallTold), "the record of its start, and of what it said that it cost")
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    wait_for(lambda: not processes_of(TOKEN), "the end of all")
    for one, flags in ((run, "killed"), (whole, "whole")):
        (tmp_path / flags / "open").touch()
        state = finish(one)
        assert state.status == "finished" and state.rounds_done == 3
        check_integrity(one)
        check_complete(one, 3)
    assert programs(run) == programs(whole) and len(set(programs(run))) == 4
    faults = [done.fault for done in calls_done(run)]
    assert faults == ["stopped", "", "", ""]
    costs = [(done.tokens_in + done.tokens_out, done.usd, done.priced) for done in calls_done(run)]
    assert costs == [(42, 0.25, True)] + [(0, 0.0, False)] * 3 and fold(run).tokens == 42
    assert not processes_of(TOKEN) and not run.work.exists()
