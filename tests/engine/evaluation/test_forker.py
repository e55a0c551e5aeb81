"""Supervisors that are forked: children of the engine with nothing of an earlier one, and started anew if need be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.evaluation import launch
from engine.evaluation.bubblewrap import OFF, WARM_VARIABLE
from engine.evaluation.evaluator import Evaluation
from engine.evaluation.forker import Forker

from .conftest import GUARDED, Workplace, until

TELL = """
import os

def run():
    return int(os.environ["OMP_NUM_THREADS"])
"""


@pytest.fixture
def warm(guarded: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Return a workplace whose next evaluation has a supervisor that is forked, and interpreters of its own."""
    monkeypatch.setenv(WARM_VARIABLE, OFF)
    monkeypatch.setattr(launch, "_forker", None)
    monkeypatch.setattr(launch, "_started", launch._WORTH_IT)
    return guarded


def forker() -> Forker:
    assert launch._forker is not None
    return launch._forker


def words_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def field_of(pid: int, name: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text()
    return text.split(f"\n{name}:")[1].split("\n")[0].strip()


def opened_by(pid: int) -> list[str]:
    return [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]


async def test_forked_supervisor_is_child_of_engine_and_holds_no_more_than_its_own(warm: Workplace) -> None:
    folders = []
    for _ in range(2):
        evaluation = await warm.start(
            "import time\ndef run():\n    time.sleep(1)\n    return 1\n", GUARDED, guarded=True
        )
        pid = evaluation._pid
        assert field_of(pid, "PPid") == str(os.getpid()) and pid != forker()._pid
        await until(lambda pid=pid: os.getsid(pid) == pid)
        assert "supervisor.forker" in words_of(pid)
        assert not any(folder in opened for folder in folders for opened in opened_by(pid))
        folders.append(str(evaluation._job.folder))
        assert (await evaluation.outcome()).score == 1
        await evaluation.acknowledge()
    assert not any(folder in opened for folder in folders for opened in opened_by(forker()._pid))
    forker().close()


async def test_each_evaluation_has_environment_of_its_own(warm: Workplace) -> None:
    for threads in (3, 1, 2):
        outcome = await warm.evaluate(TELL, GUARDED, guarded=True, threads=threads)
        assert outcome.score == threads
    forker().close()


async def test_killed_forker_costs_no_evaluation(warm: Workplace) -> None:
    assert (await warm.evaluate(TELL, GUARDED, guarded=True)).score == 1
    first = forker()._pid
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert (await warm.evaluate(TELL, GUARDED, guarded=True)).score == 1
    assert launch._forker is None, "this one was started in an interpreter of its own"
    assert (await warm.evaluate(TELL, GUARDED, guarded=True)).score == 1
    assert forker()._pid != first
    forker().close()


async def test_running_evaluation_outlives_the_forker(warm: Workplace) -> None:
    evaluation: Evaluation = await warm.start(
        "import time\ndef run():\n    time.sleep(0.5)\n    return 1\n", GUARDED, guarded=True
    )
    forker().close()
    assert (await evaluation.outcome()).score == 1
    await evaluation.acknowledge()


async def test_forker_ends_with_its_engine() -> None:
    code = "from engine.evaluation.forker import Forker; f = Forker(); print(f._pid, flush=True); input()"
    engine = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    pid = int(engine.stdout.readline())
    await until(lambda: "supervisor.forker" in words_of(pid))  # for a moment a new program shows no words
    engine.kill()
    engine.communicate()
    await until(lambda: not Path(f"/proc/{pid}").exists() or field_of(pid, "State").startswith("Z"))
