"""Sessions: many calls of a candidate in one sandbox."""

from __future__ import annotations

import pytest

from .conftest import Workplace

KEEPING = """
TOTAL = 0

def add(n):
    global TOTAL
    if n < 0:
        raise ValueError("no")
    TOTAL += n
    return TOTAL
"""


async def evaluate(work: Workplace, program: str, body: str) -> str:
    """Run lines of an evaluator and return what they found, as text; `trial` calls and returns errors as text."""
    evaluator = f"""
import evolve_task

def trial(candidate, *args, **options):
    try:
        return candidate.call(*args, **options)
    except evolve_task.CandidateError as error:
        return f"{{type(error).__name__}}: {{error}}"

def evaluate(path, report):
    found = []
{body}
    return {{"score": 1.0, "found": str(found)}}
"""
    outcome = await work.evaluate(program, evaluator, guarded=True)
    assert outcome.status == "ok", outcome.reason
    return str(outcome.metrics["found"])


async def test_globals_persist_within_session_only(work: Workplace) -> None:
    body = """
    for _ in range(2):
        with evolve_task.Session() as candidate:
            found += [trial(candidate, "add", n) for n in (1, 2, -1, 3)]
    found.append(evolve_task.call("add", 5))
"""
    refused = "'CandidateError: ValueError: no'"
    assert await evaluate(work, KEEPING, body) == f"[1, 3, {refused}, 6, 1, 3, {refused}, 6, 5]"


async def test_helper_is_loaded_once(work: Workplace) -> None:
    job = work.job("")
    (job.task_folder / "beside.py").write_text(
        "import program\nCALLS = []\ndef twice(n):\n    CALLS.append(n)\n    return [program.add(n), len(CALLS)]\n"
    )
    body = """
    with evolve_task.Session("beside.py") as candidate:
        found += [candidate.call("twice", 4), candidate.call("twice", n=4), trial(candidate, "add", 1)]
"""
    missing = "'CandidateError: the program defines no function add()'"
    assert await evaluate(work, KEEPING, body) == f"[[4, 1], [8, 2], {missing}]"


@pytest.mark.parametrize(
    ("program", "seconds", "first", "then"),
    [
        ("import time\ndef run():\n    time.sleep(60)\n", 0.5, "no answer within 0.5 s", "is gone"),
        ("import os\ndef run():\n    os._exit(3)\n", 15, "exited with code 3", "is gone"),
    ],
)
async def test_ended_candidate_stays_ended_for_session(
    work: Workplace, program: str, seconds: float, first: str, then: str
) -> None:
    body = f"""
    with evolve_task.Session() as candidate:
        found += [trial(candidate, "run", seconds={seconds}), trial(candidate, "run")]
    with evolve_task.Session() as candidate:
        found.append(trial(candidate, "run", seconds={seconds}))
"""
    found = await evaluate(work, program, body)
    assert found.count(first) == 2 and found.count(then) == 1


async def test_end_between_two_calls_is_reported_at_next_call(work: Workplace) -> None:
    program = """
import os, threading
def run():
    threading.Timer(0.1, os._exit, [7]).start()
    return 1
"""
    body = """
    import time
    with evolve_task.Session() as candidate:
        found.append(trial(candidate, "run"))
        time.sleep(1.0)
        found.append(trial(candidate, "run"))
"""
    found = await evaluate(work, program, body)
    assert found.startswith("[1, ") and "exited with code 7" in found


async def test_unrequested_message_ends_session(guarded: Workplace) -> None:
    program = """
import os, threading
FRAME = b'{"type": "returned"}\\n99'
def speak():
    for _ in range(3):
        os.write(3, len(FRAME).to_bytes(4, "big") + FRAME)
def run():
    threading.Timer(0.1, speak).start()
    return 1
"""
    body = """
    import time
    with evolve_task.Session() as candidate:
        found.append(trial(candidate, "run"))
        time.sleep(1.0)
        found.append(trial(candidate, "run"))
    found.append(evolve_task.call("run"))
"""
    found = await evaluate(guarded, program, body)
    assert found.startswith("[1, ") and "a message that nobody asked for" in found and found.endswith(", 1]")


async def test_many_calls_carry_arrays(work: Workplace) -> None:
    program = "def double(x):\n    return 2 * x\n"
    body = """
    import numpy
    with evolve_task.Session() as candidate:
        array = numpy.ones((3, 4), numpy.float32)
        for _ in range(20):
            array = candidate.call("double", array)
    found += [array.dtype.name, array.shape, float(array.sum())]
"""
    assert await evaluate(work, program, body) == f"['float32', (3, 4), {12.0 * 2**20}]"


async def test_cpu_time_is_read_outside_and_has_threads(work: Workplace) -> None:
    program = """
import threading, time
def burn():
    def work():
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    time.process_time = time.thread_time = time.clock_gettime = lambda *_: 0.0
def rest():
    return 1
"""
    body = """
    with evolve_task.Session() as candidate:
        for name in ("rest", "burn", "rest"):
            before = candidate.cpu_seconds
            candidate.call(name)
            found.append(candidate.cpu_seconds - before > 0.15)
"""
    assert await evaluate(work, program, body) == "[False, True, False]"
