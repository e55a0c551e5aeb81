"""An engine whose evaluations are simulated: `python -m tests.bench.scale_engine RUN SLOTS SECONDS REPORTS`.

Everything but the machines is real: scheduler, sampler, designer, state, journal. Each evaluation takes a time drawn
around SECONDS by the clock, and reports once a second if REPORTS is 1. Every second a line of JSON on stdout says how
long slots have held an evaluation that had not ended, since the start.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import engine.loop.engine
from engine.evaluation.evaluator import Job, Outcome, Printed, Progress
from engine.evaluation.executors.base import Machine, Placed, RunningEvaluation, Submission, cancelled_outcome
from engine.evaluation.outcome import Place
from engine.loop.serve import serve
from engine.runs.folder import Run

__all__ = ["SimulatedCluster"]

_SLOTS_OF_MACHINE = 16


class SimulatedCluster:
    """An `Executor` of machines that only wait.

    Args:
        slots: evaluations at once.
        seconds: how long one takes, on average; 0: it ends at once.
        reports: whether it reports once a second.
    """

    name = "ray"
    records_submissions = True

    def __init__(self, slots: int, seconds: float, reports: bool) -> None:
        self._slots, self._seconds, self._reports = slots, seconds, reports
        self._rng = random.Random(slots)
        names = [f"machine{number}" for number in range(-(-slots // _SLOTS_OF_MACHINE))]
        self.machines = tuple(Machine(name, name, _SLOTS_OF_MACHINE, float(_SLOTS_OF_MACHINE)) for name in names)
        self._running: dict[_Simulated, float] = {}
        """What has not ended, and since when it runs."""
        self._held = 0.0
        self._telling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._telling = asyncio.create_task(self._tell())

    async def aclose(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    def slots(self, wanted: int | None) -> int:
        return self._slots

    def threads(self, slots: int) -> int:
        return 1

    @asynccontextmanager
    async def lease(self, wanted: Callable[[], bool]) -> AsyncIterator[str | None]:
        yield ""

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        machine = self._rng.choice(self.machines).name
        made = _Simulated(job, machine, self._end)
        loop = asyncio.get_running_loop()
        self._running[made] = loop.time()
        on_placed(submission.key, machine)
        seconds = self._seconds * self._rng.uniform(0.5, 1.5)
        made.due = loop.time() + seconds
        if self._reports:
            for step in range(1, int(seconds) + 1):
                loop.call_later(step, made.report, on_progress, step)
        loop.call_later(seconds, made.end)
        return made

    async def adopt(
        self, job: Job, submission: Submission | None, on_progress: Progress, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation | None:
        return None

    async def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def _end(self, evaluation: _Simulated, late: float) -> None:
        # Late as the engine's thread is, the machine had ended in time.
        self._held += asyncio.get_running_loop().time() - late - self._running.pop(evaluation)

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            running = sum(min(now, one.due) - began for one, began in self._running.items())
            print(json.dumps({"at": now, "held": self._held + running}), flush=True)
            await asyncio.sleep(1.0)


class _Simulated:
    """An evaluation that waits."""

    def __init__(self, job: Job, machine: str, ended: Callable[[_Simulated, float], None]) -> None:
        self._job, self._machine, self._ended = job, machine, ended
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.due = 0.0
        """When its machine has ended it."""

    def report(self, on_progress: Progress, step: int) -> None:
        if not self._outcome.done():
            on_progress(float(step), {"loss": 1.0 / step})

    def end(self) -> None:
        if self._outcome.done():
            return
        self._ended(self, asyncio.get_running_loop().time() - self.due)
        score = zlib.crc32(self._job.program.encode()) / 2**32
        facts = (("cpu", "simulated"),)
        place = Place(self._machine, "0" * 12, facts)
        self._outcome.set_result(
            Outcome("ok", score, {}, "", "guarded", "bubblewrap", 1.0, 1.0, 64.0, b"", b"", place=place)
        )

    async def outcome(self) -> Outcome:
        return await asyncio.shield(self._outcome)

    def freeze(self) -> None:
        """It goes on."""

    def thaw(self) -> None:
        """It goes on."""

    def cancel(self, reason: str) -> None:
        if not self._outcome.done():
            self._ended(self, 0.0)
            self._outcome.set_result(cancelled_outcome(self._job, reason))

    async def acknowledge(self) -> None:
        """Nothing is kept of it."""


def main(folder: str, slots: str, seconds: str, reports: str) -> None:
    """Serve a run."""

    def make(*_: Any) -> SimulatedCluster:
        return SimulatedCluster(int(slots), float(seconds), reports == "1")

    vars(engine.loop.engine)["make_executor"] = make
    serve(Run(Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
