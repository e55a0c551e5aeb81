"""Calls of a candidate by its evaluator: data, errors, helpers, progress, mounts and time."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from .conftest import GUARDED, Workplace, until


async def test_evaluator_cannot_see_program_file(work: Workplace) -> None:
    outcome = await work.evaluate(
        "x = 1", "def evaluate(path):\n    return {'score': len(open(path).read())}", guarded=True
    )
    assert outcome.status == "crashed" and "use evolve_task.call or evolve_task.source" in outcome.reason
    assert outcome.guarantee == ("open" if work.sandbox == "limits" else "guarded")
    source = "import evolve_task\ndef evaluate(p):\n    return {'score': len(evolve_task.source())}"
    assert (await work.evaluate("x = 1", source, guarded=True)).score == 5


async def test_data_is_passed_in_both_directions(work: Workplace) -> None:
    evaluator = """
import evolve_task, numpy as np
def evaluate(path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    back, shape, rest = evolve_task.call("run", array, None, k={"a": (1, 2.5, "x", True)})
    assert back.dtype == np.float32 and (back == array * 2).all() and back.flags.writeable
    assert rest == {"a": [1, 2.5, "x", True]}, rest
    for bad in ({1: 2}, {2, 3}, np.array([object()])):
        try:
            evolve_task.call("run", bad, 1)
        except TypeError:
            continue
        raise AssertionError(bad)
    return {"score": sum(shape)}
"""
    program = "def run(x, nothing, k=None):\n    return x * 2, x.shape, k\n"
    outcome = await work.evaluate(program, evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 5.0), outcome.stderr


@pytest.mark.parametrize(
    ("program", "status", "reason"),
    [
        ("def run():\n    raise KeyError('k')", "crashed", "KeyError: 'k'"),
        ("def run(", "crashed", "SyntaxError"),
        ("def ran(): pass", "crashed", "the program defines no function run()"),
        ("def run():\n    return object()", "crashed", "TypeError: value is a builtins.object: only None"),
        ("def run():\n    return [{'a': {1}}]", "crashed", "TypeError: value[0]['a'] is a builtins.set"),
        ("def run():\n    x = []\n    x.append(x)\n    return x", "crashed", "RecursionError"),
        ("def run():\n    import sys; sys.exit()", "crashed", "SystemExit"),
        ("def run():\n    import os; os.abort()", "crashed", "the candidate was killed by SIGABRT"),
        ("def run():\n    import time; time.sleep(1000)", "timeout", "run: no answer within 0.3 s"),
        ("import time; time.sleep(1000)", "timeout", "run: no answer within 0.3 s"),
    ],
)
async def test_candidate_errors_reach_outcome(guarded: Workplace, program: str, status: str, reason: str) -> None:
    evaluator = GUARDED.replace('"run"', '"run", seconds=0.3') if status == "timeout" else GUARDED
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert outcome.status == status and outcome.reason.startswith(reason), outcome.reason
    if "KeyError" in reason:
        assert b"program.py" in outcome.stderr and b"evaluate.py" not in outcome.stderr


async def test_deeply_nested_answer_is_refused(guarded: Workplace) -> None:
    program = """
import os
def run():
    body = b'{"type": "returned"}\\n' + b"[" * 100000 + b"]" * 100000
    os.write(3, len(body).to_bytes(4, "big") + body)
"""
    outcome = await guarded.evaluate(program, GUARDED, guarded=True)
    assert outcome.status == "crashed" and "what is no data" in outcome.reason


async def test_helper_runs_beside_candidate(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    return {"score": evolve_task.call("trainer.py:train", 20)}
"""
    job = work.job("")
    (job.task_folder / "trainer.py").write_text("import program\ndef train(n):\n    return program.double(n) + 2\n")
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 42.0), outcome.reason


async def test_setup_of_helper_applies_to_candidate_imported_later(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    return {"score": evolve_task.call("trainer.py:train")}
"""
    helper = """
import sys
def refuse(event, args):
    if event == "open":
        raise PermissionError("nothing is opened here")
sys.addaudithook(refuse)
import program
def train():
    return program.RESULT
"""
    (work.job("").task_folder / "trainer.py").write_text(helper)
    outcome = await work.evaluate("RESULT = 4.0\n", evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 4.0), outcome.reason
    outcome = await work.evaluate("RESULT = len(open('/etc/passwd').read())\n", evaluator, guarded=True)
    assert outcome.status == "crashed" and "nothing is opened here" in outcome.reason
    outcome = await work.evaluate("RESULT = 1 / 0\n", evaluator, guarded=True)
    assert outcome.status == "crashed" and "division by zero" in outcome.reason


REPORTING = """
import evolve_task
def evaluate(path, report):
    return {"score": evolve_task.call("trainer.py:train", 3%s)}
"""

TRAINER = """
import evolve_task, program
def train(steps):
    for step in range(steps):
        evolve_task.progress(step=step, loss=1 / (1 + step), broken=float("nan"))
    return program.double(steps)
"""


async def test_helper_streams_progress_if_call_allows_it(work: Workplace) -> None:
    job = work.job("")
    (job.task_folder / "trainer.py").write_text(TRAINER)
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", REPORTING % ", report=report", guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 6.0), outcome.reason
    assert work.progress == [(0, {"loss": 1.0}), (1, {"loss": 0.5}), (2, {"loss": 1 / 3})]


async def test_unrequested_progress_ends_call(work: Workplace) -> None:
    job = work.job("")
    (job.task_folder / "trainer.py").write_text(TRAINER)
    outcome = await work.evaluate("def double(x):\n    return 2 * x\n", REPORTING % "", guarded=True)
    assert outcome.status == "crashed" and work.progress == []


async def test_evaluator_continues_after_failed_call(work: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    for n in range(3):
        try:
            evolve_task.call("run", n, seconds=0.3)
        except evolve_task.CandidateTimeout:
            pass
        except evolve_task.CandidateError as error:
            assert "odd" in str(error) and "raise" in error.traceback
    return {"score": evolve_task.call("run", 7)}
"""
    program = """
import time
def run(n):
    if n == 0:
        time.sleep(1000)
    if n == 1:
        raise ValueError("odd")
    return n
"""
    outcome = await work.evaluate(program, evaluator, guarded=True)
    assert (outcome.status, outcome.score) == ("ok", 7.0), outcome.reason


async def test_mounts_are_visible_to_evaluator_only(guarded: Workplace) -> None:
    data = guarded.folder / "data"
    data.mkdir()
    (data / "held_out.json").write_text(json.dumps([1, 2]))
    evaluator = """
import evolve_task, json, os
def evaluate(path):
    held_out = os.path.join(os.path.dirname(__file__), "..", "data", "held_out.json")
    return {"score": sum(json.load(open(held_out))), "seen": evolve_task.call("run", os.path.realpath(held_out))}
"""
    program = "import os\ndef run(path):\n    return os.path.exists(path)\n"
    outcome = await guarded.evaluate(program, evaluator, guarded=True, mounts=["../data"])
    assert (outcome.score, outcome.metrics) == (3.0, {"seen": False})


async def test_call_freezes_with_evaluation(guarded: Workplace) -> None:
    program = "import time\ndef run():\n    time.sleep(0.3)\n    return 1\n"
    evaluator = "import evolve_task\ndef evaluate(p, report):\n    report(step=1)\n" + (
        "    return {'score': evolve_task.call('run', seconds=3)}\n"
    )
    evaluation = await guarded.start(program, evaluator, guarded=True)
    await until(lambda: guarded.progress)
    evaluation.freeze()
    await asyncio.sleep(3.1)
    evaluation.thaw()
    outcome = await evaluation.outcome()
    assert outcome.score == 1
    await evaluation.acknowledge()


async def test_candidate_cannot_extend_time_of_call(guarded: Workplace) -> None:
    evaluator = """
import evolve_task
def evaluate(path):
    try:
        gained = evolve_task.call("attack", seconds=5)
    except evolve_task.CandidateError as error:
        gained = str(error)
    return {"score": 1.0, "gained": str(gained)}
"""
    program = """
import os, time
def attack():
    frame = b'{"type": "ready"}\\n'
    for _ in range(40):
        os.write(3, len(frame).to_bytes(4, "big") + frame)
        time.sleep(0.25)
    return "ten seconds"
"""
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert outcome.metrics["gained"] == "the candidate sent a second message that it is ready"
    assert outcome.seconds < 10
    frame = r"""b'\0\0\0\x11{"type":"ready"}\n'"""
    program = f"import os\ndef run(report):\n    os.write(3, {frame})\n    return {{'score': 1}}\n"
    outcome = await guarded.evaluate(program)
    assert outcome.reason == "the evaluator sent a second message that it is ready"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take niceness back")
async def test_candidates_have_priority_of_engine(work: Workplace) -> None:
    evaluator = """
import os, evolve_task
def evaluate(path):
    return {"score": evolve_task.call("run"), "own": os.nice(0)}
"""
    before = os.nice(0)
    os.setpriority(os.PRIO_PROCESS, 0, 7)
    try:
        outcome = await work.evaluate("import os\ndef run():\n    return os.nice(0)\n", evaluator, guarded=True)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
    assert (outcome.score, outcome.metrics) == (7, {"own": 7})
