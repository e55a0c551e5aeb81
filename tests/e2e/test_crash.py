"""kill -9 of the engine at random times: no finished work is lost, and no process survives."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event, sha256_of
from engine.runs.folder import Run, is_alive
from engine.runs.fork import fork_run
from engine.task.load import load_task
from tests.conftest import OPEN_EVALUATE, TaskMaker
from tests.e2e.runs import (
    HELD,
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    let_go,
    make_run,
    processes_of,
    slow_evaluate,
    start_engine,
    wait_for,
)

SLOW = slow_evaluate(0.15)

CHILDREN = """\
import runpy
import subprocess
import time


def evaluate(program_path, report):
    token = report.settings["token"]
    # One child as children are, one in a session of its own whose parent is gone at once.
    subprocess.Popen(["sleep", token])
    subprocess.Popen(["sh", "-c", f"setsid sleep {token} &"]).wait()
    time.sleep(0.1)
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2}
"""


STAGED = """\
import fcntl
import os
import runpy
import subprocess
import time


def evaluate(program_path, report):
    # Whoever holds this lock is alone on the device: a second evaluation on it would be told by an error.
    device = open(os.path.join(report.settings["locks"], os.environ["CUDA_VISIBLE_DEVICES"]))
    fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
    subprocess.Popen(["sh", "-c", f"setsid sleep {report.settings['token']} &"], close_fds=True).wait()
    for step in range(4):
        time.sleep(0.02)
        report(step, loss=1.0)
    x, y = runpy.run_path(program_path)["point"]()
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2}
"""
STAGES = """
[[stages]]
name = "quick"
threshold = -8.0

[[stages]]
name = "explore"
repeats = 2
early_stop = {value = "loss", direction = "minimize"}

[[stages]]
name = "verify"
"""


def kill_again_and_again(run: Run, rng: random.Random, token: str, times: int) -> None:
    """Kill the run's engine after random events; check that nothing is lost and no process survives."""
    kills = 0
    while kills < times:
        known = [(e.seq, e.data) for e in events(run)]
        engine = start_engine(run)
        target = len(known) + rng.randint(1, 22)
        wait_for(lambda: engine.poll() is not None or len(events(run)) >= target, "progress")  # noqa: B023
        time.sleep(rng.random() * 0.03)
        if engine.poll() is not None:
            break
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        kills += 1
        # Within a second on a quiet machine; a loaded one may not even schedule the supervisors by then.
        wait_for(lambda: not processes_of(str(run.folder)) and not processes_of(token), "the end of all")
        assert not is_alive(run)
        # What was on the disk stays, and what comes goes on from there.
        assert [(e.seq, e.data) for e in events(run)][: len(known)] == known
        check_integrity(run)
    assert kills == times, f"the run ended after {kills} kills: give it more rounds"


def finish_after_kills(run: Run, token: str, rounds: int) -> None:
    """Let the run finish, and check that it is complete."""
    engine = start_engine(run)
    assert engine.wait(90) == 0, run.log.read_text()
    check_integrity(run)
    check_complete(run, rounds)
    assert not processes_of(token)


EVALUATORS = {"instant": OPEN_EVALUATE, "slow": SLOW, "children": CHILDREN}


@pytest.mark.parametrize("kind", ["instant", "slow", pytest.param("children", marks=pytest.mark.needs("setsid"))])
def test_kill_9_at_random_times_loses_nothing(make_task: TaskMaker, tmp_path: Path, kind: str) -> None:
    rng = random.Random(kind)
    token = f"86400.{rng.randrange(10**9)}"
    task = make_task(evaluate=EVALUATORS[kind], toml=f'[settings]\ntoken = "{token}"\n')
    run = make_run(task, tmp_path / "runs", rounds=18, workers=3)
    kill_again_and_again(run, rng, token, 5)
    finish_after_kills(run, token, 18)
    assert len(events(run, ev.EngineStarted)) == 6


@pytest.mark.needs("setsid")
def test_kill_9_with_stages_repeats_leases_and_forks(
    make_task: TaskMaker, tmp_path: Path, fake_nvml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fake_nvml))
    monkeypatch.setenv("FAKE_GPUS", "2")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    rng = random.Random("stages")
    token = f"86401.{rng.randrange(10**9)}"
    locks = tmp_path / "locks"
    locks.mkdir()
    for device in ("GPU-fake-0", "GPU-fake-1"):
        (locks / device).touch()
    toml = f'mounts = ["{locks}"]\nnoisy = true\ngpu = true\n'
    settings = f'[settings]\ntoken = "{token}"\nlocks = "{locks}"\n'
    task = make_task(evaluate=STAGED, toml=STAGES + settings)
    (task / "task.toml").write_text(toml + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs", rounds=12, workers=3)
    kill_again_and_again(run, rng, token, 4)
    # A fork of what is left, at an event in the middle of a round, is killed too; the first is gone by then.
    middle = len(events(run)) * 2 // 3
    fork = fork_run(run, tmp_path / "elsewhere", at_seq=middle).run
    finish_after_kills(run, token, 12)
    shutil.rmtree(run.folder)
    kill_again_and_again(fork, rng, token, 3)
    finish_after_kills(fork, token, 12)
    for node in fold(fork).nodes:
        assert node.status in ("ok", "rejected"), node.reason
    done = [event.data for event in events(fork, ev.EvalStageDone)]
    assert {(data.stage, data.repeat) for data in done if isinstance(data, ev.EvalStageDone)} >= {
        ("quick", 0), ("explore", 0), ("explore", 1), ("verify", 0),
    }  # fmt: skip


def test_unrecorded_result_survives_engine(make_task: TaskMaker, tmp_path: Path) -> None:
    """The engine is killed while it cannot read; its supervisor holds the finished result for the next one."""
    evaluate = HELD.replace("import os\n", "import os\nimport uuid\n").replace("1.0}", '1.0, "mark": uuid.uuid4().hex}')
    run = make_run(make_task(evaluate=evaluate), tmp_path / "runs", rounds=0)
    engine = start_engine(run)
    wait_for(lambda: any(isinstance(e.data, ev.EvalProgress) for e in events(run)), "the evaluation")
    os.kill(engine.pid, signal.SIGSTOP)
    let_go(run)

    # The evaluation ends; the engine, stopped, takes no notice.
    def evaluators() -> list[str]:
        return [c for c in processes_of(str(run.folder)) if "supervisor" not in c and "-m engine" not in c]

    wait_for(lambda: not evaluators(), "its end")
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    outcome = run.work / "0-explore-0" / "outcome.json"
    wait_for(outcome.exists, "the supervisor's copy")
    kept = outcome.read_text()
    engine = start_engine(run)
    assert engine.wait(90) == 0, run.log.read_text()
    assert fold(run).nodes[0].metrics["mark"] in kept
    assert len([e for e in events(run) if isinstance(e.data, ev.EvalStarted)]) == 1
    check_complete(run, 0)


@pytest.mark.parametrize("same", [True, False])
def test_result_counts_for_its_program(make_task: TaskMaker, tmp_path: Path, same: bool) -> None:
    """A power cut may lose the last nodes but leave their evaluations' folders, whose numbers are then used again."""
    run = make_run(make_task(), tmp_path / "runs", rounds=0)
    seed = (tmp_path / "tasks" / "point" / "seed.py").read_text()
    connection = connect_writer(run.db)
    insert_event(connection, ev.Event(2, 0, 0, None, ev.RoundStarted()))
    made = ev.DesignDone(sha256_of(seed), "seed", "seed", "", digest="0" * 64)
    insert_event(connection, ev.Event(3, 0, 0, 0, made))
    connection.close()
    folder = run.work / f"0-{load_task(tmp_path / 'tasks' / 'point').spec.score_stage.name}-0"
    folder.mkdir(parents=True)
    (folder / "program.py").write_text(seed if same else "# of the node that is gone\n" + seed)
    left: dict[str, object] = {"status": "ok", "score": 999.0, "metrics": {}, "reason": "", "guarantee": "open"}
    left |= {"sandbox": "limits", "seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 1.0, "stdout": "", "stderr": ""}
    (folder / "outcome.json").write_text(json.dumps(left))
    assert (finish(run).nodes[0].score == 999.0) is same
    assert not folder.exists()
