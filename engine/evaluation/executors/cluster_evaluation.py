"""An evaluation on another machine, as the engine sees it: what its messages mean, however they arrive."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from engine.errors import EvolveError
from engine.evaluation.evaluator import Job, Outcome, Printed, Progress
from engine.evaluation.executors.base import EvaluationLost, Placed, Submission, cancelled_outcome
from engine.evaluation.executors.messages import (
    Done,
    Fault,
    Progressed,
    Started,
    Written,
    decode_item,
    most_bytes,
    to_outcome,
)  # fmt: skip

__all__ = ["ClusterEvaluation"]


class ClusterEvaluation(ABC):
    """One attempt at an evaluation.

    Args:
        job: what is evaluated.
        submission: the attempt.
        on_progress: called for each report.
        on_placed: called when it is known where it runs.
        on_printed: called with what it prints.
    """

    def __init__(
        self, job: Job, submission: Submission, on_progress: Progress, on_placed: Placed, on_printed: Printed
    ) -> None:
        self._job, self._submission = job, submission
        self._on_progress, self._on_placed, self._on_printed = on_progress, on_placed, on_printed
        self._host = ""
        self._started = False
        self._frozen = False
        self._cancelled: str | None = None
        self._result: Outcome | EvaluationLost | EvolveError | None = None
        self._decided = asyncio.Event()

    async def outcome(self) -> Outcome:
        """Wait for the outcome.

        Raises:
            EvaluationLost: its machine is gone, or could not run it.
            EvolveError: the cluster does not take it.
        """
        await self._decided.wait()
        if isinstance(self._result, Outcome):
            return self._result
        assert self._result is not None
        raise self._result

    def freeze(self) -> None:
        """Stop its processes and clocks as soon as its machine has the order."""
        self._frozen = True
        if not self._decided.is_set():
            self._order("freeze")

    def thaw(self) -> None:
        """Continue it."""
        self._frozen = False
        if not self._decided.is_set():
            self._order("thaw")

    def cancel(self, reason: str) -> None:
        """End it; if it has not started, it never will."""
        if self._cancelled is None and not self._decided.is_set():
            self._cancelled = reason
            self._withdraw()

    @abstractmethod
    async def acknowledge(self) -> None:
        """Remove what is kept of it, now that its outcome is in the journal."""

    @property
    def settled(self) -> Outcome | None:
        """Its outcome, if there is one."""
        return self._result if isinstance(self._result, Outcome) else None

    # Where it runs

    @abstractmethod
    def _place(self, node: str, orders: str) -> tuple[str, str]:
        """Take in where it has started; return what finds it again, and the name of the machine."""

    @abstractmethod
    def _order(self, line: str) -> None:
        """Give it an order."""

    @abstractmethod
    def _withdraw(self) -> None:
        """Take it back, since `_cancelled` says why; it may have started."""

    @abstractmethod
    def _forget(self) -> None:
        """Listen no longer to what is said of it."""

    # Messages

    def take_item(self, body: bytes) -> None:
        """Take a message of its machine; what is none loses the evaluation."""
        if self._decided.is_set():
            return
        try:
            self._take(body)
        except ValueError as exc:
            self.lose(f"its machine sent {exc}")

    def _take(self, body: bytes) -> None:
        item = decode_item(body, most_bytes(self._job))
        if isinstance(item, Started | Done) and (item.key, item.attempt) != (
            self._submission.key, self._submission.attempt,
        ):  # fmt: skip
            raise ValueError("the result of another attempt")
        if isinstance(item, Started):
            handle, self._host = self._place(item.node, item.orders)
            self._started = True
            self._on_placed(handle, self._host)
            if self._cancelled is not None:
                self._withdraw()
            elif self._frozen:
                self._order("freeze")
        elif isinstance(item, Progressed):
            for step, values in item.items:
                self._on_progress(step, values)
        elif isinstance(item, Written):
            self._on_printed(item.stream, item.text, item.left_out)
        elif isinstance(item, Done):
            self.decide(to_outcome(item, self._host))
        elif isinstance(item, Fault):
            self.decide(EvaluationLost(self._host, item.message, permanent=True))

    def lose(self, reason: str, blamed: bool = True, permanent: bool = False) -> None:
        """Settle that there is no outcome; one that was cancelled has that one.

        Args:
            reason: what happened, one line.
            blamed: whether it has to do with its machine, so that another one is better.
            permanent: whether the same would happen anywhere.
        """
        if self._cancelled is not None:
            self.decide(cancelled_outcome(self._job, self._cancelled))
        else:
            self.decide(EvaluationLost(self._host if blamed else "", reason, permanent))

    def decide(self, result: Outcome | EvaluationLost | EvolveError) -> None:
        """Settle what comes of it, unless that is settled."""
        if not self._decided.is_set():
            self._result = result
            self._decided.set()
            self._forget()
