"""If the engine or a supervisor is killed, no process is left and every finished result survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from engine.evaluation import watch
from engine.evaluation.evaluator import recover
from engine.evaluation.supervisor.box import IGNORED
from engine.evaluation.supervisor.processes import find_tree

from .conftest import GUARDED, Workplace, processes_with, until

ENGINE = """
import asyncio, signal, sys
from pathlib import Path
from engine.evaluation.evaluator import Evaluation, Job
from engine.task.spec import Limits

async def main(task, folder):
    job = Job(program=open(task + "/program").read(), task_folder=Path(task), folder=Path(folder), metric="score",
              guarded=False, gpu=False, python=None, mounts=[], stage="explore", repeat=0, seed=1, settings={},
              limits=Limits(), threads=1)
    evaluation = await Evaluation.start(job, lambda step, values: print("progress", flush=True))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, evaluation.freeze)
    if "cancel" in sys.argv:
        await asyncio.sleep(0.2)
        evaluation.cancel("the engine is stopping")
    print("done", (await evaluation.outcome()).score, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(*sys.argv[1:3]))
"""

HANG = """
import os, subprocess, time
def run(report):
    subprocess.Popen(["sleep", "1000.TOKEN"], start_new_session=True)
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "1000.TOKEN"])
    report(step=1)
    time.sleep(1000)
"""


async def start_engine(work: Workplace, program: str, *options: str) -> tuple[asyncio.subprocess.Process, Path]:
    job = work.job(program)
    (job.task_folder / "program").write_text(job.program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ENGINE,
        str(job.task_folder),
        str(job.folder),
        *options,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    return engine, job.folder


async def read_line(engine: asyncio.subprocess.Process) -> str:
    assert engine.stdout is not None
    return (await asyncio.wait_for(engine.stdout.readline(), 90)).decode().strip()


async def test_no_process_survives_engine_killed_during_evaluation(work: Workplace) -> None:
    engine, folder = await start_engine(work, HANG)
    assert await read_line(engine) == "progress"
    await until(lambda: len(work.alive()) == 2)
    engine.kill()
    await engine.wait()
    await until(lambda: not work.alive() and not processes_with(str(folder)))
    assert await recover(folder) is None


async def test_no_process_survives_engine_killed_while_frozen(work: Workplace) -> None:
    engine, folder = await start_engine(work, HANG)
    assert await read_line(engine) == "progress"
    await until(lambda: len(work.alive()) == 2)
    engine.send_signal(signal.SIGUSR1)
    await until(lambda: {find_tree(engine.pid).get(pid) for pid in work.alive()} == {"T"})
    engine.kill()
    await engine.wait()
    await until(lambda: not work.alive() and not processes_with(str(folder)))


async def test_finished_result_survives_engine(work: Workplace) -> None:
    engine, folder = await start_engine(work, "def run(report):\n    print('x')\n    return {'score': 4.5, 'a': 1}\n")
    assert await read_line(engine) == "done 4.5"
    engine.kill()
    await engine.wait()
    outcome = await recover(folder)
    assert outcome is not None
    assert (outcome.status, outcome.score, outcome.metrics, outcome.stdout) == ("ok", 4.5, {"a": 1}, b"x\n")
    assert folder.exists() and json.loads((folder / "outcome.json").read_text())["score"] == 4.5
    await until(lambda: not processes_with(str(folder)))


async def test_cancelled_outcome_does_not_survive_engine(work: Workplace) -> None:
    engine, folder = await start_engine(work, HANG, "cancel")
    while (line := await read_line(engine)) == "progress":
        pass
    assert line == "done None"
    engine.kill()
    await engine.wait()
    assert await recover(folder) is None
    await until(lambda: not processes_with(str(folder)))
    assert folder.exists() and not (folder / "outcome.json").exists()


async def test_recover_ignores_cancelled_outcome(work: Workplace) -> None:
    # Earlier versions left such an outcome.
    engine, folder = await start_engine(work, "def run(report):\n    return {'score': 4.5}\n")
    assert await read_line(engine) == "done 4.5"
    engine.kill()
    await engine.wait()
    assert (await recover(folder)) is not None
    found = json.loads((folder / "outcome.json").read_text())
    (folder / "outcome.json").write_text(json.dumps({**found, "status": "cancelled", "score": None}))
    assert await recover(folder) is None


async def test_recover_returns_none_without_whole_outcome(tmp_path: Path) -> None:
    assert await recover(tmp_path / "never") is None
    (tmp_path / "outcome.json").write_text('{"half a li')
    assert await recover(tmp_path) is None


async def test_folder_of_killed_engine_can_be_used_again(work: Workplace) -> None:
    engine, folder = await start_engine(work, HANG)
    assert await read_line(engine) == "progress"
    engine.kill()
    await engine.wait()
    again = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ENGINE,
        str(work.folder / "task"),
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert await read_line(again) == "progress"
    again.kill()
    await again.wait()
    await until(lambda: not work.alive())


CLEAN_DAEMON = """
import ctypes, os, time
def run(report):
    if os.fork() == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        if os.fork() == 0:
            os.closerange(0, 64)
            os.chdir("/")
            os.execve("/bin/sleep", ["sleep", "1000.TOKEN"], {})
        os._exit(0)
    report(step=1)
    time.sleep(1000)
"""
"""It cuts every tie to its evaluation: session, parent, environment, command line."""


@pytest.mark.parametrize("program", [HANG, CLEAN_DAEMON], ids=["children", "clean daemon"])
async def test_no_process_survives_killed_supervisor(work: Workplace, program: str) -> None:
    evaluation = await work.start(program)
    await until(lambda: work.progress and work.alive())
    os.kill(evaluation._pid, signal.SIGKILL)
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.reason) == ("crashed", "its supervisor was killed by SIGKILL")
    await until(lambda: not work.alive())
    await evaluation.acknowledge()


async def test_no_process_survives_stopped_supervisor(work: Workplace) -> None:
    evaluation = await work.start(HANG)
    await until(lambda: len(work.alive()) == 2)
    os.kill(evaluation._pid, signal.SIGSTOP)
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.reason) == ("crashed", "its supervisor was stopped")
    await until(lambda: not work.alive())
    await evaluation.acknowledge()


async def test_silent_supervisor_is_killed(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that hangs says as little as one that is stopped, but does not show as stopped.
    monkeypatch.setattr(watch.SupervisorWatch, "_is_stopped", lambda self: False)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.02)
    evaluation = await work.start(HANG)
    await until(lambda: len(work.alive()) == 2)
    os.kill(evaluation._pid, signal.SIGSTOP)
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.reason) == ("crashed", "its supervisor stood still")
    await until(lambda: not work.alive())
    await evaluation.acknowledge()


async def test_supervisor_ignores_every_signal_that_can_be_ignored(work: Workplace) -> None:
    program = "import time\ndef run(report):\n    report(step=1)\n    time.sleep(1)\n    return {'score': 5}\n"
    evaluation = await work.start(program)
    await until(lambda: work.progress)
    supervisor = evaluation._pid
    ignored = ignored_by(supervisor)
    for number in range(1, 65):
        if ignored >> number - 1 & 1:
            os.kill(supervisor, number)
    assert ignored >> signal.SIGUSR1 - 1 & 1 and ignored >> signal.SIGALRM - 1 & 1 and ignored >> 39 & 1
    assert (await evaluation.outcome()).score == 5
    await evaluation.acknowledge()


def ignored_by(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)


async def test_candidate_has_default_signal_actions(work: Workplace) -> None:
    program = "def run():\n    return int(open('/proc/self/status').read().split('SigIgn:')[1].split()[0], 16)\n"
    outcome = await work.evaluate(program, GUARDED, guarded=True)
    assert outcome.score is not None
    ignored = {number for number in IGNORED if int(outcome.score) >> number - 1 & 1}
    assert ignored == {signal.SIGPIPE, signal.SIGXFSZ}  # by Python itself
