"""Run evaluations on this machine, each under a supervisor of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from engine.evaluation.evaluator import Evaluation, Job, Printed, Progress, recover
from engine.evaluation.executors.base import EndedEvaluation, Machine, Placed, RunningEvaluation, Submission
from engine.evaluation.gpus import Gpus
from engine.evaluation.leases import lease_machine
from engine.evaluation.supervisor.folders import remove_tree

__all__ = ["LocalExecutor"]


class LocalExecutor:
    """This machine. An evaluation's folder is all that the next engine needs to find its outcome.

    Args:
        gpus: the GPUs to lease, one for each evaluation; None if the task needs none.
        exclusive: whether its evaluations wait for those of other runs that are exclusive, too.
    """

    name = "local"
    records_submissions = False

    def __init__(self, gpus: Gpus | None = None, exclusive: bool = False) -> None:
        self._gpus, self._exclusive = gpus, exclusive

    @property
    def machines(self) -> tuple[Machine, ...]:
        """None but this one."""
        return ()

    async def open(self) -> None:
        """Nothing: it is there."""

    async def aclose(self) -> None:
        """Nothing: each evaluation was waited for."""

    def slots(self, wanted: int | None) -> int:
        """Return what is wanted; by default the number of GPUs, or of cores if the task needs none."""
        return wanted or (len(self._gpus) if self._gpus is not None else len(os.sched_getaffinity(0)))

    def threads(self, slots: int) -> int:
        """Return an evaluation's share: all of them together fill the cores."""
        return max(1, len(os.sched_getaffinity(0)) // slots)

    @asynccontextmanager
    async def lease(self, wanted: Callable[[], bool]) -> AsyncIterator[str | None]:
        """Wait for a GPU if the task needs one, and for other exclusive evaluations."""
        async with AsyncExitStack() as held:
            device: str | None = ""
            if self._gpus is not None:
                device = await held.enter_async_context(self._gpus.lease(wanted))
            if self._exclusive and not await held.enter_async_context(lease_machine(wanted)):
                device = None
            yield device

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        """Start an evaluation in a supervisor of its own.

        Call it in the event loop's thread: confined processes end with the thread that started them.

        Raises:
            EvolveError: the folder cannot be made, one of `mounts` is missing, or the interpreter does not run.
        """
        return await Evaluation.start(job, on_progress, on_printed)

    async def adopt(
        self,
        job: Job,
        submission: Submission | None,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> RunningEvaluation | None:
        """Return the outcome that a supervisor left, if it is one of this program; wait up to 10 seconds for it."""
        if not job.folder.exists():
            return None
        outcome = await recover(job.folder)
        # A power cut may have taken the node that had this number, and its program may have been another one.
        if outcome is not None and not job.is_build and _holds(job):
            return EndedEvaluation(outcome, lambda: asyncio.to_thread(remove_tree, str(job.folder)))
        await asyncio.to_thread(remove_tree, str(job.folder))
        return None

    async def discard(self, folder: Path) -> None:
        """Remove an evaluation's folder once its supervisor is no longer at work in it."""
        await recover(folder)
        await asyncio.to_thread(remove_tree, str(folder))


def _holds(job: Job) -> bool:
    """Tell whether an evaluation's folder is about the job's program."""
    try:
        return (job.folder / f"program{job.suffix}").read_bytes() == job.program.encode("utf-8", "surrogatepass")
    except OSError:
        return False
