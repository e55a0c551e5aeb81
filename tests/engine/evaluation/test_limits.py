"""Every limit ends an evaluation and all its processes, with its reason."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from engine.evaluation.supervisor import scratch as scratch_module
from engine.evaluation.supervisor.scratch import Scratch

from .conftest import GUARDED, Workplace, until

ESCAPE = """
import os, subprocess, time
def escape():
    subprocess.Popen(["sleep", "1000.TOKEN"])
    subprocess.Popen(["sleep", "1000.TOKEN"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "1000.TOKEN"])
        os._exit(0)
"""


async def test_time_limit(work: Workplace) -> None:
    program = ESCAPE + "def run(report):\n    escape()\n    report(step=1)\n    time.sleep(1000)\n"
    task = asyncio.create_task(work.evaluate(program, limits={"seconds": 1.0}))
    await until(lambda: len(work.alive()) == 3)
    outcome = await task
    assert (outcome.status, outcome.reason) == ("timeout", "time limit of 1 s")
    assert outcome.seconds >= 1.0


async def test_children_end_with_evaluation(work: Workplace) -> None:
    outcome = await work.evaluate(ESCAPE + "def run(report):\n    escape()\n    return {'score': 1}\n")
    assert outcome.status == "ok"


async def test_children_end_after_crash(work: Workplace) -> None:
    outcome = await work.evaluate(ESCAPE + "def run(report):\n    escape()\n    os._exit(1)\n")
    assert outcome.status == "crashed"


async def test_cpu_time_limit(work: Workplace) -> None:
    program = "import os\ndef run(report):\n    os.fork()\n    while True: pass\n"
    outcome = await work.evaluate(program, limits={"cpu_seconds": 0.5})
    assert (outcome.status, outcome.reason) == ("timeout", "CPU time limit of 0.5 s")
    assert outcome.cpu_seconds >= 0.5


async def test_memory_limit(work: Workplace) -> None:
    program = "import time\ndef run(report):\n    x = bytearray(400 * 2**20)\n    time.sleep(1000)\n"
    outcome = await work.evaluate(program, limits={"memory_mb": 200})
    assert (outcome.status, outcome.reason) == ("crashed", "memory limit of 200 MiB")
    assert outcome.peak_mb >= 200


async def test_shared_memory_counts_once(guarded: Workplace) -> None:
    program = """
import os, time
def run(report):
    x = bytearray(os.urandom(1 << 20) * 100)
    for _ in range(4):
        if os.fork() == 0:
            time.sleep(1000)
    time.sleep(0.5)
    return {"score": 1}
"""
    outcome = await guarded.evaluate(program, limits={"memory_mb": 250})
    assert outcome.status == "ok"


async def test_process_limit(work: Workplace) -> None:
    program = """
import os, time
def run(report):
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(1000)
    time.sleep(1000)
"""
    outcome = await work.evaluate(program, limits={"processes": 10})
    assert (outcome.status, outcome.reason) == ("crashed", "limit of 10 processes")


async def test_fork_bomb_is_ended(work: Workplace) -> None:
    # Bounded for the machine's sake: 4096 processes if nothing stops it.
    program = """
import os, time
def run(report):
    for _ in range(12):
        if os.fork() == 0:
            os.setsid()
    time.sleep(1000)
"""
    outcome = await work.evaluate(program, limits={"processes": 20})
    assert (outcome.status, outcome.reason) == ("crashed", "limit of 20 processes")


async def test_file_size_limit(work: Workplace) -> None:
    program = "def run(report):\n    with open('x', 'wb') as file:\n        file.write(bytes(3 * 2**20))\n"
    outcome = await work.evaluate(program, limits={"file_mb": 1})
    assert outcome.status == "crashed" and "File too large" in outcome.reason


async def test_scratch_limit(work: Workplace) -> None:
    program = """
import time
def run(report):
    for i in range(40):
        with open(f"{i}", "wb") as file:
            file.write(bytes(4 * 2**20))
    report(step=1)
    time.sleep(1000)
"""
    outcome = await work.evaluate(program, limits={"file_mb": 5})
    assert (outcome.status, outcome.reason) == ("crashed", "scratch limit of 64 MiB")


async def test_scratch_limit_applies_to_candidate(guarded: Workplace) -> None:
    program = """
import os, time
def run():
    for i in range(24):
        os.mkdir(f"d{i}")
        with open(f"d{i}/file", "wb") as file:
            file.write(bytes(4 * 2**20))
    time.sleep(1000)
"""
    outcome = await guarded.evaluate(program, GUARDED, guarded=True, limits={"file_mb": 20})
    assert (outcome.status, outcome.reason) == ("crashed", "scratch limit of 80 MiB")


async def test_scratch_below_limit_is_allowed(guarded: Workplace) -> None:
    # Links count once, holes not at all.
    program = """
import os, time
def run(report):
    with open("hole", "wb") as file:
        file.truncate(100 * 2**20)
    with open("file", "wb") as file:
        file.write(bytes(10 * 2**20))
    for i in range(20):
        os.link("file", f"file{i}")
        os.symlink("/usr", f"link{i}")
    time.sleep(1.5)
    return {"score": 1}
"""
    outcome = await guarded.evaluate(program, limits={"file_mb": 16 * 10})
    assert outcome.status == "ok", outcome.reason


async def test_scratch_deeper_than_longest_path(work: Workplace) -> None:
    program = """
import os, time
def run(report):
    for _ in range(50):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    time.sleep(1000)
"""
    outcome = await work.evaluate(program, limits={"seconds": 2.0})
    if work.sandbox != "bubblewrap":  # what lies on the disk has to be walked to be counted
        assert outcome.reason == "scratch limit: a folder that cannot be counted (File name too long)"
    else:
        assert outcome.reason == "time limit of 2 s"


def test_scratch_files_are_counted_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "MOST_FILES", 5000)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for i in range(2499):
            (tmp_path / folder / f"{i}").touch()
    scratch = Scratch(2**30)
    assert [_look(scratch, tmp_path, now) for now in (0.0, 0.3, 0.4, 0.5)] == ["", "", "", ""]
    assert scratch.walk is None and scratch.next == 1.5  # 5000 with the two folders
    (tmp_path / "one more").touch()
    found = [_look(scratch, tmp_path, now) for now in (1.0, 1.6, 1.7, 1.8)]
    assert found == ["", "", "", "scratch limit of 5000 files"]


def _look(scratch: Scratch, folder: Path, now: float) -> str:
    scratch.look([str(folder), str(folder / "missing")], now)
    return scratch.excess


async def test_long_output_is_read_and_cut(work: Workplace) -> None:
    program = """
import sys
def run(report):
    sys.stdout.write("first" + "x" * 5_000_000 + "last")
    return {"score": 1}
"""
    outcome = await work.evaluate(program)
    assert outcome.status == "ok"
    gap = f"\n... {5_000_009 - 2 * 65536} bytes left out ...\n".encode()
    assert outcome.stdout.startswith(b"firstx") and outcome.stdout.endswith(b"xlast")
    assert gap in outcome.stdout and len(outcome.stdout) == 2 * 65536 + len(gap)


async def test_output_limit(work: Workplace) -> None:
    program = "import os\ndef run(report):\n    while True:\n        os.write(1, b'x' * 65536)\n"
    outcome = await work.evaluate(program, limits={"output_mb": 2})
    assert (outcome.status, outcome.reason) == ("crashed", "output limit of 2 MiB")


async def test_message_size_limit(work: Workplace) -> None:
    outcome = await work.evaluate("def run():\n    return 'x' * 3_000_000\n", GUARDED, limits={"result_mb": 1})
    assert outcome.status == "crashed" and "more than result_mb = 1 MiB" in outcome.reason
    program = "import os\ndef run():\n    os.write(3, (1 << 30).to_bytes(4, 'big'))\n"
    outcome = await work.evaluate(program, GUARDED, limits={"result_mb": 1})
    assert outcome.status == "crashed" and "a message of 1024.0 MiB, above the limit" in outcome.reason


async def test_freeze_stops_clock(work: Workplace) -> None:
    program = """
import os, time
def run(report):
    child = os.fork()
    for step in range(10**9):
        if child:
            report(step=step)
        time.sleep(0.001)
"""
    evaluation = await work.start(program, limits={"seconds": 1.5})
    await until(lambda: work.progress)
    evaluation.freeze()
    frozen = await until(lambda: _stopped(work))
    seen = -1
    while seen != len(work.progress):  # what it said before may be on its way for a while
        seen = len(work.progress)
        await asyncio.sleep(0.3)
    before = time.monotonic()
    await asyncio.sleep(1.7)  # longer than the time limit: the clock must not have noticed
    assert _stopped(work) == frozen
    assert len(work.progress) == seen
    evaluation.thaw()
    outcome = await evaluation.outcome()
    assert outcome.status == "timeout" and outcome.seconds >= 1.5
    assert time.monotonic() - before > 1.7
    await evaluation.acknowledge()


async def test_frozen_evaluation_can_be_cancelled(work: Workplace) -> None:
    evaluation = await work.start("import time\ndef run(report):\n    report(step=1)\n    time.sleep(1000)\n")
    await until(lambda: work.progress)
    evaluation.freeze()
    await until(lambda: _stopped(work))
    evaluation.cancel("enough")
    assert (await evaluation.outcome()).status == "cancelled"
    await evaluation.acknowledge()


def _stopped(work: Workplace) -> list[int]:
    """Return the processes of the only evaluation in this workplace if all are stopped, else nothing."""
    ours = [pid for pid in _descendants(os.getpid()) if _mentions(pid, "evolve_task._main")]
    return ours if ours and all(_state(pid) == "T" for pid in ours) else []


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def _mentions(pid: int, text: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            words = file.read().split("\0")
    except OSError:
        return False
    return any(text in word for word in words) and "supervisor" not in " ".join(words)


def _descendants(root: int) -> list[int]:
    from engine.evaluation.supervisor.processes import find_tree

    return list(find_tree(root))
