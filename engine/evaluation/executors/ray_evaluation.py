"""An evaluation on a Ray cluster, as the engine sees it."""

from __future__ import annotations

from typing import Any, Protocol

from engine.evaluation.evaluator import Job, Printed, Progress
from engine.evaluation.executors.base import Placed, Submission
from engine.evaluation.executors.cluster_evaluation import ClusterEvaluation

__all__ = ["RayEvaluation"]


class _Cluster(Protocol):
    def send(self, header: dict[str, object], body: bytes = b"") -> None: ...
    def host_of(self, node: str) -> str: ...
    def forget(self, number: int) -> None: ...
    def withdraw(self, number: int) -> None: ...


class RayEvaluation(ClusterEvaluation):
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
        super().__init__(job, submission, on_progress, on_placed, on_printed)
        self._cluster = cluster
        self.number = 0
        """Names it to the cluster."""
        self._node = self._orders = ""

    def take(self, header: dict[str, Any], body: bytes) -> None:
        """Take a message of the cluster."""
        if header["type"] == "item":
            self.take_item(body)
        elif header["type"] == "lost":
            self.lose(header["message"], blamed=header.get("blamed", True))
        else:
            self.lose("it ended without an outcome")

    async def acknowledge(self) -> None:
        """Nothing: its machine removes what it keeps."""

    def _place(self, node: str, orders: str) -> tuple[str, str]:
        self._node, self._orders = node, orders
        return node, self._cluster.host_of(node)

    def _withdraw(self) -> None:
        if self._orders:
            self._order(f"cancel {' '.join((self._cancelled or '').split())}")
        else:
            self._cluster.withdraw(self.number)

    def _forget(self) -> None:
        self._cluster.forget(self.number)

    def _order(self, line: str) -> None:
        if self._orders:
            self._cluster.send({"do": "order", "node": self._node, "orders": [[self._orders, line[:1000]]]})
