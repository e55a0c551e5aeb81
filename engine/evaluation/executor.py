"""Executors: places that run evaluations. This machine is the only one yet."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from engine.evaluation.evaluator import Evaluation, Job, Outcome, Progress, recover

__all__ = ["Executor", "LocalExecutor", "RunningEvaluation"]


class RunningEvaluation(Protocol):
    """An evaluation that was started."""

    async def outcome(self) -> Outcome:
        """Wait for the outcome. Cancelling this wait does not cancel the evaluation.

        Raises:
            EvolveError: the evaluation could not run, for a reason other than the candidate.
        """

    def freeze(self) -> None:
        """Stop all its processes and its clocks."""

    def thaw(self) -> None:
        """Continue it."""

    def cancel(self, reason: str) -> None:
        """End it with the outcome `cancelled` and this reason, unless it has already ended."""

    async def acknowledge(self) -> None:
        """Confirm that the outcome is in the journal: its processes and its folder go."""


class Executor(Protocol):
    """Start evaluations somewhere, and find those again that an earlier engine started."""

    async def start(self, job: Job, on_progress: Progress) -> RunningEvaluation:
        """Start an evaluation.

        Args:
            job: what to evaluate.
            on_progress: called in the event loop with (step, values) for each report of the evaluator.

        Raises:
            EvolveError: it cannot be started.
        """

    async def recover(self, folder: Path) -> Outcome | None:
        """Return the outcome of an evaluation whose engine is gone, or None if it did not finish.

        Args:
            folder: the evaluation's folder, as in its job; left unchanged.
        """


class LocalExecutor:
    """Run evaluations on this machine, each under a supervisor of its own."""

    async def start(self, job: Job, on_progress: Progress) -> RunningEvaluation:
        """Start an evaluation in a supervisor of its own.

        Call it in the event loop's thread: confined processes end with the thread that started them.

        Raises:
            EvolveError: the folder cannot be made, one of `mounts` is missing, or the interpreter does not run.
        """
        return await Evaluation.start(job, on_progress)

    async def recover(self, folder: Path) -> Outcome | None:
        """Return the outcome that a supervisor left, or None; wait up to 10 seconds for one that is ending."""
        return await recover(folder)
