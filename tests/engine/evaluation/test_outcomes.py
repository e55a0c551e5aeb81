"""Outcomes of evaluations: valid results, and how everything else ends."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EvolveError
from engine.evaluation.evaluator import Evaluation
from engine.evaluation.supervisor.capture import Capture
from engine.evaluation.supervisor.results import clean_result

from .conftest import GUARDED, Workplace, until

RETURNS = "def evaluate(path):\n    return {}\n"


async def test_result_reaches_outcome(work: Workplace) -> None:
    program = """
import sys
def run(report):
    print("out"); print("err", file=sys.stderr)
    report(step=1, loss=0.5, bad=float("nan"), text="no")
    report(loss=0.25)
    return {"score": 3, "nan": float("nan"), "name": "n", "flag": True, "none": None, "list": [1, 2.5], "odd": object()}
"""
    outcome = await work.evaluate(program)
    assert (outcome.status, outcome.score, outcome.reason) == ("ok", 3.0, "")
    assert outcome.metrics == {"nan": None, "name": "n", "flag": True, "none": None, "list": [1, 2.5]}
    assert work.progress == [(1, {"loss": 0.5}), (None, {"loss": 0.25})]
    assert outcome.guarantee == "open"
    assert outcome.stdout == b"out\n"
    assert outcome.stderr.startswith(b"err\n") and b"left out the metric 'odd'" in outcome.stderr
    assert 0 < outcome.seconds < 10 and outcome.cpu_seconds > 0 and outcome.peak_mb > 1


async def test_output_is_shown_while_the_evaluation_runs(work: Workplace) -> None:
    """The evaluation ends only once what it printed was seen; a character may be cut, and a flood is cut short."""
    program = """
import pathlib, sys, time
def run(report):
    print("é" * 1000)
    print("early", file=sys.stderr)
    while not pathlib.Path("GO").exists():
        time.sleep(0.01)
    print("x" * 100_000)
    print("late")
    while not pathlib.Path("GO.2").exists():
        time.sleep(0.01)
    return {"score": 1}
"""
    go = work.folder / "go"
    printed: list[tuple[str, str, int]] = []
    job = work.job(program.replace("GO", str(go)), mounts=[str(work.folder)])
    evaluation = await Evaluation.start(job, lambda step, values: None, lambda *said: printed.append(said))
    await until(lambda: len(printed) == 2)
    assert sorted(printed) == [("stderr", "early\n", 0), ("stdout", "é" * 1000 + "\n", 0)]
    go.touch()
    await until(lambda: any(text.endswith("late\n") for _, text, _ in printed))
    later = printed[2:]
    assert all(len(text) <= 2048 for _, text, _ in later)
    assert sum(left_out + len(text) for _, text, left_out in later) == 100_000 + len("\nlate\n")
    Path(f"{go}.2").touch()
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    assert outcome.status == "ok" and outcome.stdout.endswith(b"x\nlate\n")


@given(st.lists(st.tuples(st.binary(max_size=90_000), st.booleans()), max_size=8), st.integers(1, 4096))
def test_unseen_output_is_the_end_of_what_came(pieces: list[tuple[bytes, bool]], most: int) -> None:
    capture, since = Capture(), b""
    for piece, look in pieces:
        capture.add(piece)
        since += piece
        if look:
            shown, left_out = capture.unseen(most)
            assert (shown, left_out) == (since[-most:], max(0, len(since) - most))
            since = b""


async def test_words_of_the_evaluator_become_feedback(work: Workplace) -> None:
    program = """
def run(report):
    report.feedback("two circles overlap")
    return {"score": 1, "feedback": "move #3 left", "artifacts": {"log": "a\\nb", "raw": b"\\xff!", "n": 3}}
"""
    outcome = await work.evaluate(program)
    assert outcome.feedback == "two circles overlap\nmove #3 left\n[log]\na\nb\n[raw] \ufffd!\n[n] 3"
    assert (outcome.status, outcome.metrics) == ("ok", {})


async def test_feedback_is_capped_and_kept_with_a_failure(work: Workplace) -> None:
    program = """
def run(report):
    for part in range(40):
        report.feedback(str(part % 10) * 1000)
    raise ValueError("no")
"""
    outcome = await work.evaluate(program)
    assert (outcome.status, outcome.reason) == ("crashed", "ValueError: no")
    assert outcome.feedback.startswith("0000") and 20_000 < len(outcome.feedback) <= 20_480


async def test_report_holds_parameters_of_evaluation(work: Workplace) -> None:
    program = """
import os
def run(report):
    with open(os.path.join(report.scratch, "x"), "w") as file:
        file.write("x")
    return {"score": report.seed + report.repeat, "stage": report.stage, "setting": report.settings["n"],
            "device": report.device, "home": os.environ["HOME"] == report.scratch == os.getcwd(),
            "threads": os.environ["OMP_NUM_THREADS"], "hash": os.environ["PYTHONHASHSEED"]}
"""
    outcome = await work.evaluate(program, stage="quick", seed=40, repeat=2, settings={"n": 7}, threads=3)
    assert outcome.score == 42
    expected = {"stage": "quick", "setting": 7, "device": "", "home": True, "threads": "3", "hash": "0"}
    assert outcome.metrics == expected


@pytest.mark.parametrize(
    ("returned", "status", "reason"),
    [
        ("{'score': float('nan')}", "invalid", "'score' is nan (float), expected a dict with a finite number"),
        ("{'score': float('-inf')}", "invalid", "'score' is -inf"),
        ("{'score': True}", "invalid", "'score' is True (bool)"),
        ("{'score': '1'}", "invalid", "'score' is '1' (str)"),
        ("{'score': 10**400}", "invalid", "'score' is"),
        (
            "{'score': 1.7e308}",
            "invalid",
            "'score' is 1.7e+308 (float), expected a dict with a finite number (up to 1e300",
        ),
        ("{'score': -(10**301)}", "invalid", "'score' is -1000"),
        ("{'loss': 1}", "invalid", "no 'score' (its keys: loss)"),
        ("[1]", "invalid", "evaluate() returned [1] (list)"),
        ("None", "invalid", "evaluate() returned None"),
        ("1 / 0", "crashed", "ZeroDivisionError: division by zero"),
        ("exit(3)", "crashed", "SystemExit: 3"),
        ("__import__('os')._exit(3)", "crashed", "the evaluator exited with code 3 and gave no result"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "crashed", "the evaluator was killed by SIGKILL"),
        ("__import__('ctypes').string_at(0)", "crashed", "the evaluator was killed by SIGSEGV"),
    ],
)
async def test_invalid_result_has_no_score(guarded: Workplace, returned: str, status: str, reason: str) -> None:
    outcome = await guarded.evaluate("", RETURNS.format(returned))
    assert (outcome.status, outcome.score) == (status, None)
    assert reason in outcome.reason and "\n" not in outcome.reason


async def test_reasons_name_exit_of_evaluator(work: Workplace) -> None:
    outcome = await work.evaluate("", RETURNS.format("__import__('os')._exit(3)"))
    assert outcome.reason == "the evaluator exited with code 3 and gave no result"
    outcome = await work.evaluate("", RETURNS.format("__import__('os').abort()"))
    assert outcome.reason == "the evaluator was killed by SIGABRT and gave no result"


async def test_traceback_is_kept(work: Workplace) -> None:
    outcome = await work.evaluate("def run(report):\n    raise ValueError('no way')\n")
    assert outcome.reason == "ValueError: no way"
    assert b"raise ValueError('no way')" in outcome.stderr and b"evolve_task" not in outcome.stderr


async def test_missing_evaluate_crashes_and_invalid_is_recorded(guarded: Workplace) -> None:
    outcome = await guarded.evaluate("", "x = 1\n")
    assert outcome.status == "crashed" and "no attribute 'evaluate'" in outcome.reason
    source = "import evolve_task\ndef evaluate(p):\n    raise evolve_task.Invalid('overlap')\n"
    outcome = await guarded.evaluate("", source)
    assert (outcome.status, outcome.reason) == ("invalid", "overlap")


async def test_evaluate_may_have_different_signatures(guarded: Workplace) -> None:
    for head in ("(path)", "(path, report)", "(path, anything=None)", "(*args)", "(path, /, r, *, k=1)"):
        outcome = await guarded.evaluate("", f"def evaluate{head}:\n    return {{'score': 1}}\n")
        assert outcome.status == "ok", head
    source = "import asyncio\nasync def evaluate(path):\n    await asyncio.sleep(0)\n    return {'score': 2}\n"
    assert (await guarded.evaluate("", source)).score == 2


async def test_numpy_scalars_count_as_numbers(guarded: Workplace) -> None:
    source = """
import numpy as np
def evaluate(path):
    return {"score": np.float32(0.5), "a": np.int64(3), "b": np.array(2.0), "c": np.float64("nan"), "d": np.zeros(3)}
"""
    outcome = await guarded.evaluate("", source)
    assert outcome.score == 0.5
    assert outcome.metrics == {"a": 3, "b": 2.0, "c": None}


async def test_non_finite_and_huge_numbers_become_none(guarded: Workplace) -> None:
    source = """
def evaluate(path, report):
    report(step=10**30, big=10**25, huge=10**305, loss=1e301)
    return {"score": -10**25, "int": 2**53, "large": 10**25, "huge": 10**305, "float": -1.7e308, "list": [2**60, 1],
            "huge_list": [1e301], "true": True}
"""
    outcome = await guarded.evaluate("", source)
    assert (outcome.status, outcome.score) == ("ok", -1e25)
    expected = {"int": 2**53, "large": 1e25, "huge": None, "float": None, "list": [2.0**60, 1], "true": True}
    assert outcome.metrics == expected
    assert type(outcome.metrics["large"]) is float and type(outcome.metrics["int"]) is int
    assert guarded.progress == [(1e30, {"big": 1e25})] and type(guarded.progress[0][1]["big"]) is float


def test_forged_numbers_are_refused() -> None:
    metrics = {"a": 10**25, "b": 10**305, "c": [1, 10**305], "d": [10**25], "e": math.nan, "f": False, "g": {}}
    found = clean_result({"status": "ok", "score": 10**30, "metrics": metrics})
    assert found["metrics"] == {"a": 1e25, "b": None, "d": [1e25], "e": None, "f": False}
    assert type(found["metrics"]["a"]) is type(found["score"]) is float
    for score in (1e301, -(10**400), math.nan, True, None):
        with pytest.raises(ValueError, match="finite score"):
            clean_result({"status": "ok", "score": score})


async def test_number_subclass_cannot_change_score(guarded: Workplace) -> None:
    program = """
class Liar(float):
    def __float__(self): return 1e9
    def __repr__(self): return "1e9"
    def __lt__(self, other): return False
    __gt__ = __ge__ = lambda self, other: True
def run(report):
    return {"score": Liar(0.5)}
"""
    assert (await guarded.evaluate(program)).score == 0.5


async def test_garbage_on_result_channel_crashes_evaluation(work: Workplace) -> None:
    for data in ("b'garbage that is no message'", "b'\\x00\\x00\\x00\\x02{}'", "b'\\xff' * 100"):
        outcome = await work.evaluate(f"import os\ndef run(report):\n    os.write(3, {data})\n    os._exit(0)\n")
        assert outcome.status == "crashed", data
    forged = '{"type": "result", "status": "ok", "score": NaN}'
    program = f"import os\ndef run(r):\n    m = {forged!r}.encode()\n    os.write(3, len(m).to_bytes(4, 'big') + m)\n"
    outcome = await work.evaluate(program + "    os._exit(0)\n")
    assert (outcome.status, outcome.score) == ("crashed", None)


async def test_progress_flood_is_thinned(guarded: Workplace) -> None:
    program = "def run(report):\n    for i in range(20000):\n        report(step=i, v=i)\n    return {'score': 1}\n"
    outcome = await guarded.evaluate(program)
    assert outcome.status == "ok"
    steps = [step for step, _ in guarded.progress if step is not None]
    assert steps == sorted(steps) and len(steps) < 5000 and steps[-1] == 19999


async def test_cancel_ends_evaluation_with_reason(work: Workplace) -> None:
    program = "import time\ndef run(report):\n    report(step=0)\n    time.sleep(1000.5)\n"
    evaluation = await work.start(program)
    evaluation.cancel("not promising")
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.score, outcome.reason) == ("cancelled", None, "not promising")
    await evaluation.acknowledge()


async def test_faults_of_task_or_machine_raise_evolve_error(work: Workplace) -> None:
    with pytest.raises(EvolveError, match="does not run"):
        await work.start("", python="no-such-python")
    if work.sandbox == "bubblewrap":
        with pytest.raises(EvolveError, match="does not exist"):
            await work.start("", mounts=["nowhere"])
    job = work.job("")
    assert not job.folder.parent.exists()
    job.folder.parent.parent.mkdir()
    job.folder.parent.write_text("a file where a folder should be")
    with pytest.raises(EvolveError, match="cannot be started"):
        await Evaluation.start(job, lambda step, values: None)


async def test_many_evaluations_run_at_once(guarded: Workplace) -> None:
    async def one(index: int) -> Any:
        return (await guarded.evaluate(f"def run():\n    return {index}\n", GUARDED, guarded=True)).score

    assert await asyncio.gather(*(one(index) for index in range(6))) == list(range(6))


async def test_task_can_use_another_interpreter(guarded: Workplace) -> None:
    outcome = await guarded.evaluate("def run():\n    return 1\n", GUARDED, guarded=True, python=sys.executable)
    assert outcome.score == 1 and math.isfinite(outcome.seconds)
