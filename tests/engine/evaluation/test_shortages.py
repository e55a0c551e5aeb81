"""Temporary shortages of the machine: a start that fails is repeated, and no run fails for it."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EvolveError
from engine.evaluation import evaluator, launch
from engine.evaluation.supervisor.processes import find_tree

from .conftest import GUARDED, Workplace, until

SCORE = "def run(report):\n    return {'score': 1}\n"


class Wrapped:
    """A bubblewrap that is killed at its first starts, as by the kernel when memory is short."""

    def __init__(self, work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = work.folder / "faults"
        self.folder.mkdir()
        self.monkeypatch = monkeypatch
        self.real = launch.make_plan

    def fail(self, times: int, of: str, skip: int = 0) -> None:
        """Let starts of `evaluator` or `candidate` fail, after the first `skip` ones."""
        for path in self.folder.iterdir():
            path.unlink()
        for index in range(skip, skip + times):
            (self.folder / f"{index}").touch()

        def build(*args: Any) -> launch.Plan:
            # Append a character per start: a number that is rewritten would be empty for a moment.
            script = (
                f"n=$(cat {self.folder}/starts 2>/dev/null); printf . >> {self.folder}/starts; "
                f'test -e {self.folder}/${{#n}} && kill -9 $$; exec "$@"'
            )
            plan = replace(self.real(*args), warm=None)
            return replace(plan, **{of: ["/bin/sh", "-c", script, "sh", *getattr(plan, of)]})

        self.monkeypatch.setattr(evaluator, "make_plan", build)

    def starts(self) -> int:
        path = self.folder / "starts"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def wrapped(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> Wrapped:
    evaluator._worked.clear()
    return Wrapped(work, monkeypatch)


async def test_start_is_retried_if_interpreter_is_killed(work: Workplace, wrapped: Wrapped) -> None:
    wrapped.fail(2, of="evaluator")
    assert (await work.evaluate(SCORE)).status == "ok"
    assert wrapped.starts() == 3


async def test_start_is_retried_if_candidate_is_killed(work: Workplace, wrapped: Wrapped) -> None:
    wrapped.fail(1, of="candidate")
    assert (await work.evaluate("def run():\n    return 2\n", GUARDED, guarded=True)).score == 2
    assert wrapped.starts() == 2


async def test_repeated_failure_to_start_ends_evaluation(work: Workplace, wrapped: Wrapped) -> None:
    wrapped.fail(100, of="evaluator")
    evaluation = await work.start(SCORE)
    with pytest.raises(EvolveError, match="the sandboxed interpreter was killed by SIGKILL"):
        await evaluation.outcome()
    await evaluation.acknowledge()
    assert wrapped.starts() == 3
    wrapped.fail(100, of="evaluator", skip=1)  # the first one runs
    assert (await work.evaluate(SCORE)).status == "ok"
    outcome = await work.evaluate(SCORE)
    assert (outcome.status, outcome.score) == ("crashed", None)
    assert outcome.reason.startswith("the evaluation could not run: the sandboxed interpreter was killed by SIGKILL")
    wrapped.fail(0, of="evaluator")
    assert (await work.evaluate(SCORE)).status == "ok"


async def test_start_is_retried_without_room_for_supervisor(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator._worked.clear()
    real, left = launch.spawn, 2

    def spawn(*args: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real(*args)

    monkeypatch.setattr(evaluator, "spawn", spawn)
    assert (await work.evaluate(SCORE)).status == "ok"
    left = 3
    outcome = await work.evaluate(SCORE)
    assert outcome.status == "crashed" and "Resource temporarily unavailable" in outcome.reason
    evaluator._worked.clear()
    left = 3
    with pytest.raises(EvolveError, match="Resource temporarily unavailable"):
        await work.evaluate(SCORE)


async def test_start_is_retried_without_room_for_sandbox(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    # The supervisor reports with its exit code that it cannot start a process.
    evaluator._worked.clear()
    real = launch.make_plan
    monkeypatch.setattr(evaluator, "make_plan", lambda *args: replace(real(*args), evaluator=["/no/such/program"]))
    with pytest.raises(EvolveError, match=r"its supervisor says: .*No such file"):
        await work.evaluate(SCORE)


async def test_orders_survive_failed_start(work: Workplace, wrapped: Wrapped) -> None:
    wrapped.fail(1, of="evaluator")
    job = work.job("import time\ndef run(report):\n    time.sleep(1000)\n")
    evaluation = await evaluator.Evaluation.start(job, lambda step, values: None)
    await until(lambda: evaluation._control is None)  # the first supervisor has ended, and the second is to start
    evaluation.freeze()

    def states() -> set[str]:
        return {state for pid, state in find_tree(os.getpid()).items() if _mentions(pid, "evolve_task._main")}

    await until(lambda: states() == {"T"})
    await asyncio.sleep(0.3)
    assert states() == {"T"}
    evaluation.thaw()
    evaluation.cancel("enough")
    assert (await evaluation.outcome()).status == "cancelled"
    await evaluation.acknowledge()
    wrapped.fail(1, of="evaluator")
    evaluation = await evaluator.Evaluation.start(work.job(job.program), lambda step, values: None)
    evaluation.cancel("at once")
    outcome = await asyncio.wait_for(evaluation.outcome(), 90)
    assert (outcome.status, outcome.reason) == ("cancelled", "at once")
    await evaluation.acknowledge()


def _mentions(pid: int, text: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return any(text in word for word in words) and "supervisor" not in " ".join(words)
