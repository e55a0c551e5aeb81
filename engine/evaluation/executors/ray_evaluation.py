"""An evaluation on a Ray cluster, as the engine sees it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from engine.errors import EvolveError
from engine.evaluation.evaluator import Job, Outcome, Printed, Progress
from engine.evaluation.executors.base import EvaluationLost, Placed, Submission
from engine.evaluation.executors.messages import (
    Done,
    Fault,
    Progressed,
    Started,
    Written,
    decode_item,
    most_bytes,
    to_outcome,
)

__all__ = ["RayEvaluation", "Recalled"]


class _Cluster(Protocol):
    def send(self, header: dict[str, object], body: bytes = b"") -> None: ...
    def host_of(self, node: str) -> str: ...
    def forget(self, number: int) -> None: ...
    def withdraw(self, number: int) -> None: ...


class RayEvaluation:
    """One attempt at an evaluation.

    Args:
        cluster: takes orders for it.
        job: what is evaluated.
        submission: the attempt.
        on_progress: called for each report.
        on_placed: called when it is known where it runs.
        on_printed: called with what it prints.
    """

    def __init__(
        self,
        cluster: _Cluster,
        job: Job,
        submission: Submission,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> None:
        self._cluster, self._job, self._submission = cluster, job, submission
        self._on_progress, self._on_placed, self._on_printed = on_progress, on_placed, on_printed
        self.number = 0
        """Names it to the cluster."""
        self._node = self._host = self._orders = ""
        self._frozen = False
        self._cancelled: str | None = None
        self._result: Outcome | EvaluationLost | EvolveError | None = None
        self._decided = asyncio.Event()

    async def outcome(self) -> Outcome:
        """Wait for the outcome.

        Raises:
            EvaluationLost: its machine is gone, or could not run it.
        """
        await self._decided.wait()
        if isinstance(self._result, Outcome):
            return self._result
        assert self._result is not None
        raise self._result

    def freeze(self) -> None:
        """Stop its processes and clocks as soon as its machine has the order."""
        self._frozen = True
        self._order("freeze")

    def thaw(self) -> None:
        """Continue it."""
        self._frozen = False
        self._order("thaw")

    def cancel(self, reason: str) -> None:
        """End it; if it has not started, it never will."""
        if self._cancelled is None:
            self._cancelled = reason
            if self._orders:
                self._order(f"cancel {' '.join(reason.split())}")
            else:
                self._cluster.withdraw(self.number)

    async def acknowledge(self) -> None:
        """Nothing: its machine removes what it keeps."""

    def _order(self, line: str) -> None:
        if self._orders and not self._decided.is_set():
            self._cluster.send({"do": "order", "node": self._node, "orders": [[self._orders, line[:1000]]]})

    # Messages

    def take(self, header: dict[str, Any], body: bytes) -> None:
        """Take a message of the cluster."""
        if header["type"] == "item":
            try:
                self._take_item(body)
            except ValueError as exc:
                self.lose(f"its machine sent {exc}")
        elif header["type"] == "lost":
            self.lose(header["message"])
        else:
            self.lose("it ended without an outcome")

    def _take_item(self, body: bytes) -> None:
        item = decode_item(body, most_bytes(self._job))
        if isinstance(item, Started | Done) and (item.key, item.attempt) != (
            self._submission.key, self._submission.attempt,
        ):  # fmt: skip
            raise ValueError("the result of another attempt")
        if isinstance(item, Started):
            self._node, self._host, self._orders = item.node, self._cluster.host_of(item.node), item.orders
            self._on_placed(item.node, self._host)
            if self._cancelled is not None:
                self._order(f"cancel {' '.join(self._cancelled.split())}")
            elif self._frozen:
                self._order("freeze")
        elif isinstance(item, Progressed):
            for step, values in item.items:
                self._on_progress(step, values)
        elif isinstance(item, Written):
            self._on_printed(item.stream, item.text, item.left_out)
        elif isinstance(item, Done):
            self._decide(to_outcome(item, self._host))
        elif isinstance(item, Fault):
            self._decide(EvaluationLost(self._host, item.message, permanent=True))

    def lose(self, reason: str) -> None:
        """Settle that there is no outcome; one that was cancelled has that one."""
        if self._cancelled is not None:
            self._decide(_cancelled(self._job, self._cancelled))
        else:
            self._decide(EvaluationLost(self._host, reason))

    def _decide(self, result: Outcome | EvaluationLost) -> None:
        if not self._decided.is_set():
            self._result = result
            self._decided.set()
            self._cluster.forget(self.number)


class Recalled:
    """An evaluation that had ended when its engine was gone."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    async def outcome(self) -> Outcome:
        return self._outcome

    def freeze(self) -> None:
        pass

    def thaw(self) -> None:
        pass

    def cancel(self, reason: str) -> None:
        pass

    async def acknowledge(self) -> None:
        pass


def _cancelled(job: Job, reason: str) -> Outcome:
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
