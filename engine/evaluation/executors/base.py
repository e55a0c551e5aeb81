"""What an executor does: start evaluations somewhere, and find those again that an earlier engine started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.evaluation.evaluator import Job, Outcome, Printed, Progress

__all__ = ["EndedEvaluation", "EvaluationLost", "Executor", "Machine", "Placed", "RunningEvaluation", "Submission"]
__all__ += ["cancelled_outcome"]


class EvaluationLost(Exception):
    """An evaluation ended without an outcome, which is no fault of its program: its machine is gone, for instance.

    Args:
        node: the name of the machine; empty if it never had one.
        reason: what happened, one line.
        permanent: whether the same would happen on any machine, such as a task folder that cannot be unpacked.
    """

    def __init__(self, node: str, reason: str, permanent: bool = False) -> None:
        super().__init__(reason)
        self.node, self.reason, self.permanent = node, reason, permanent


@dataclass(frozen=True)
class Submission:
    """One attempt at an evaluation, under a key that names it for ever."""

    key: str
    """Letters, digits and `-`; the same for all attempts at one evaluation of one run."""
    attempt: int = 0
    """A result of an earlier attempt is refused."""
    handle: str = ""
    """Where it runs, in the executor's own terms; empty while it is not known."""
    avoid: tuple[str, ...] = ()
    """Machines, by their names, that lost an earlier attempt."""
    on: str = ""
    """The name of the machine to run on, if it is there; empty for any."""


@dataclass(frozen=True)
class Machine:
    """A machine that runs evaluations."""

    id: str
    name: str
    slots: int
    """How many evaluations fit onto it."""
    cores: float = 0.0
    gpus: float = 0.0


Placed = Callable[[str, str], None]
"""Callback for a submission's handle and the name of its machine, once they are known; runs in the event loop."""


class RunningEvaluation(Protocol):
    """An evaluation that was started."""

    async def outcome(self) -> Outcome:
        """Wait for the outcome. Cancelling this wait does not cancel the evaluation.

        Raises:
            EvaluationLost: it ended without an outcome, for a reason other than the candidate; it may be tried again.
            EvolveError: the evaluation could not run, for a reason other than the candidate.
        """

    def freeze(self) -> None:
        """Stop all its processes and its clocks, if the executor can; it goes on otherwise."""

    def thaw(self) -> None:
        """Continue it."""

    def cancel(self, reason: str) -> None:
        """End it with the outcome `cancelled` and this reason, unless it has already ended."""

    async def acknowledge(self) -> None:
        """Confirm that the outcome is in the journal: its processes and its folder go."""


class EndedEvaluation:
    """An evaluation that had ended before its engine asked for it: an earlier engine had started it.

    Args:
        outcome: what came of it.
        release: removes what is kept of it, once its outcome is in the journal.
    """

    def __init__(self, outcome: Outcome, release: Callable[[], Awaitable[None]] | None = None) -> None:
        self._outcome, self._release = outcome, release

    async def outcome(self) -> Outcome:
        """Return the outcome."""
        return self._outcome

    def freeze(self) -> None:
        """Nothing: it has ended."""

    def thaw(self) -> None:
        """Nothing."""

    def cancel(self, reason: str) -> None:
        """Nothing."""

    async def acknowledge(self) -> None:
        """Remove what is kept of it."""
        if self._release is not None:
            await self._release()


def cancelled_outcome(job: Job, reason: str) -> Outcome:
    """Return the outcome of an evaluation that was ended, or never ran, through no fault of its program."""
    return Outcome(
        status="cancelled",
        score=None,
        metrics={},
        reason=reason,
        guarantee="guarded" if job.guarded else "open",
        sandbox="limits",
        seconds=0.0,
        cpu_seconds=0.0,
        peak_mb=0.0,
        stdout=b"",
        stderr=b"",
    )


class Executor(Protocol):
    """Start evaluations somewhere, and find those again that an earlier engine started.

    An evaluation ends with the engine that started it, however that ends, or it goes on in a queue of its own until
    another engine asks for it. What it had found is kept for `adopt`.
    """

    name: str
    """As the setting `--executor` has it."""
    records_submissions: bool
    """Whether `start` and `adopt` need the journal to keep submissions."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines of a cluster as they are now; none if there is only the engine's own."""

    async def open(self) -> None:
        """Connect to the machines; called once before anything else.

        Raises:
            EvolveError: they cannot be reached.
        """

    async def aclose(self) -> None:
        """Disconnect. Evaluations that still run end."""

    def slots(self, wanted: int | None) -> int:
        """Return how many evaluations may run at once now; it may change at any time.

        Args:
            wanted: as the settings say; None: as many as there is room for.
        """

    def threads(self, slots: int) -> int:
        """Return the threads of an evaluation if so many run at once."""

    def lease(self, wanted: Callable[[], bool]) -> AbstractAsyncContextManager[str | None]:
        """Wait for a device of this machine and hold it; yield its name, empty if the evaluation needs none from here.

        Args:
            wanted: called while waiting; if it returns False, yield None.
        """

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        """Start an evaluation.

        Args:
            job: what to evaluate.
            on_progress: called in the event loop with (step, values) for each report of the evaluator.
            submission: the attempt that it is.
            on_placed: called when it is known where it runs; never, if submissions are not recorded.
            on_printed: called in the event loop with what it prints while it runs.

        Raises:
            EvolveError: it cannot be started.
        """

    async def adopt(
        self,
        job: Job,
        submission: Submission | None,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> RunningEvaluation | None:
        """Return an evaluation that an earlier engine started, if its outcome is there or still to be had.

        Args:
            job: what was to be evaluated; an outcome of another program is not returned.
            submission: its last attempt, as the journal has it; None if that has none.
            on_progress: called for each report of one that still runs, also for those before now.
            on_placed: called when it is known where one that still runs does so.
            on_printed: called with what one that still runs prints, also before now.

        Returns:
            `EndedEvaluation` if the outcome is there; None if there is no evaluation, so that it is to be started and
            nothing of it is left.
        """

    async def discard(self, folder: Path) -> None:
        """Remove what is left of an evaluation that nobody waits for; its folder is as in its job."""
