"""If the engine or a supervisor is killed, no process is left and every finished result survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from engine.errors import EvolveError
from engine.evaluation.evaluator import recover
from engine.evaluation.supervisor.processes import find_tree

from .conftest import Workplace, processes_with, until

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
    return (await asyncio.wait_for(engine.stdout.readline(), 20)).decode().strip()


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


async def test_no_process_survives_killed_supervisor(work: Workplace) -> None:
    evaluation = await work.start(HANG)
    await until(lambda: len(work.alive()) == 2)
    supervisors = [pid for pid in processes_with("supervisor.main") if pid in find_tree(os.getpid())]
    assert len(supervisors) == 1
    os.kill(supervisors[0], signal.SIGKILL)
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.reason) == ("crashed", "its supervisor was killed by SIGKILL")
    await until(lambda: not work.alive())
    await evaluation.acknowledge()


async def test_no_process_survives_terminated_supervisor(work: Workplace) -> None:
    evaluation = await work.start(HANG)
    await until(lambda: len(work.alive()) == 2)
    supervisors = [pid for pid in processes_with("supervisor.main") if pid in find_tree(os.getpid())]
    os.kill(supervisors[0], signal.SIGTERM)
    await until(lambda: not work.alive())
    with pytest.raises(EvolveError, match="supervisor of an evaluation failed"):
        await evaluation.outcome()
    await evaluation.acknowledge()
