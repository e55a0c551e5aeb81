"""Timed calls: the clock, the memory that is shared with a candidate, and what is charged to it."""

from __future__ import annotations

import os
from ast import literal_eval
from pathlib import Path

import pytest

from .conftest import Workplace, choose_level

PROGRAM = """
import os, threading, time
import evolve_task

def double(count):
    memory = evolve_task.memory()
    memory[count : 2 * count] = bytes(2 * value for value in memory[:count])
    return count

def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def work_later(seconds):
    threading.Thread(target=work, args=[seconds], daemon=True).start()

def rest(seconds):
    time.sleep(seconds)

def quit():
    os._exit(3)

def spoil():
    os.write(evolve_task._links[0], (9).to_bytes(4, "big") + b"{'no': 1}")

def answer_and_quit():
    answer = b'{"type": "returned"}\\n7'
    os.write(evolve_task._links[0], len(answer).to_bytes(4, "big") + answer)
    os._exit(4)

def leave():
    "Try to leave the processors and the process; return what was possible."
    found = []
    for name, attempt in {
        "affinity": lambda: os.sched_setaffinity(0, range(64)),
        "fork": lambda: os.fork() or os._exit(0),
        "exec": lambda: os.execv("/bin/true", ["true"]),
    }.items():
        try:
            attempt()
            found.append(name)
        except PermissionError:
            pass
    thread = threading.Thread(target=found.append, args=["thread"])
    thread.start()
    thread.join()
    return [*found, sorted(os.sched_getaffinity(0))]
"""
EVALUATOR = """
import evolve_task, time

def trial(function, *args, **options):
    try:
        return function(*args, **options).value
    except evolve_task.CandidateError as error:
        return f"{type(error).__name__}: {error}"

def evaluate(path, report):
    found = {}
    with evolve_task.Session(memory=64) as candidate, evolve_task.Baseline(None, "seed.py", memory=64) as seed:
        candidate.load()
        for side in (candidate, seed):
            side.memory[:4] = bytes([1, 2, 3, 4])
            timed = side.time_call("double", 4, keep=slice(4, 8))
            found.setdefault("doubled", []).append([timed.value, list(timed.kept), list(side.memory[:8])])
            busy, rests = side.time_call("work", 0.05), side.time_call("rest", 0.05)
            found.setdefault("busy", []).append(min(busy.wall, busy.cpu) >= 0.05 and busy.seconds >= busy.wall)
            found.setdefault("rests", []).append(rests.wall >= 0.05 and rests.seconds == rests.wall)
        side = candidate
        found["none"] = trial(side.time_call, "none")
        found["slow"] = trial(side.time_call, "rest", 60, seconds=0.2)
        found["lost"] = trial(side.time_call, "double", 4)
    with evolve_task.Session(memory=0) as candidate:
        candidate.load()
        found["quit"] = trial(candidate.time_call, "quit")
    with evolve_task.Session(memory=0) as candidate:
        candidate.load()
        candidate.call("spoil")
        found["early"] = trial(candidate.time_call, "rest", 0)
    found["once"] = evolve_task.time_call("leave").value
    try:
        evolve_task.Session().time_call("rest", 0)
    except RuntimeError as error:
        found["unready"] = str(error)
    return {"score": 1.0, "found": repr(found)}
"""


async def test_calls_are_timed_by_the_evaluator(work: Workplace) -> None:
    (work.folder / "task").mkdir()
    (work.folder / "task" / "seed.py").write_text(PROGRAM)
    core = max(os.sched_getaffinity(0))
    outcome = await work.evaluate(PROGRAM, EVALUATOR, guarded=True, cores=1, limits={"seconds": 60.0})
    assert outcome.status == "ok", (outcome.reason, outcome.stderr)
    found = literal_eval(str(outcome.metrics["found"]))
    assert found["doubled"] == [[4, [2, 4, 6, 8], [1, 2, 3, 4, 2, 4, 6, 8]]] * 2
    assert found["busy"] == found["rests"] == [True, True]
    assert found["none"] == "CandidateError: the program defines no function none()"
    assert found["slow"] == "CandidateTimeout: rest: no answer within 0.2 s"
    assert found["lost"].startswith("CandidateError: ")
    assert found["quit"] == "CandidateError: the candidate exited with code 3 and gave no result"
    assert found["early"] == "CandidateError: it answered before it was asked"
    assert found["once"] == ["thread", [core]]
    assert "load()" in found["unready"]


async def test_candidate_that_ends_after_its_answer_is_not_timed(work: Workplace) -> None:
    """What it took is not known any more: it could have worked before it was asked."""
    evaluator = """
import evolve_task

send = evolve_task._send

def send_after_end(header, body=b""):
    while header["type"] == "cpu":
        send(header)
        if not evolve_task._receive()[0].get("cpu_seconds"):
            break
    send(header, body)

def evaluate(path, report):
    with evolve_task.Session(memory=0) as candidate:
        candidate.load()
        evolve_task._send = send_after_end
        return {"score": candidate.time_call("answer_and_quit").seconds}
"""
    outcome = await work.evaluate(PROGRAM, evaluator, guarded=True, limits={"seconds": 60.0})
    assert outcome.status == "crashed" and "exited with code 4" in outcome.reason


@pytest.mark.needs("bubblewrap")
async def test_work_after_the_answer_is_charged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_level("bubblewrap", monkeypatch)
    work = Workplace(tmp_path, "bubblewrap")
    evaluator = """
import evolve_task, time

def evaluate(path, report):
    with evolve_task.Session(memory=0) as candidate:
        candidate.load()
        charged = candidate.time_call("work_later", 0.2).cpu
        while charged < 0.2:
            time.sleep(0.01)
            charged += candidate.time_call("rest", 0).cpu
    return {"score": charged}
"""
    outcome = await work.evaluate(PROGRAM, evaluator, guarded=True, limits={"seconds": 60.0})
    assert outcome.status == "ok" and outcome.score is not None and outcome.score >= 0.2
