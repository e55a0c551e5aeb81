"""An evaluation as a job of SLURM, as the engine sees it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from engine.evaluation.evaluator import Job, Printed, Progress
from engine.evaluation.executors import slurm_commands as slurm
from engine.evaluation.executors.base import Placed, Submission
from engine.evaluation.executors.cluster_evaluation import ClusterEvaluation
from engine.evaluation.executors.messages import most_bytes
from engine.evaluation.executors.slurm_files import RESULT, Seen, read_signed

__all__ = ["SlurmEvaluation"]

_MOST_LINE = 1 << 20
_GRACE_SECONDS = {"COMPLETED": 60.0, "gone": 60.0}
"""How long a result may show up after its job has ended; that of a job that failed has never been written."""
_GRACE_FAILED_SECONDS = 1.0


class _Queue(Protocol):
    def order(self, name: str, line: str) -> None: ...
    def cancel(self, id_: str) -> None: ...
    def forget(self, name: str) -> None: ...
    def release(self, name: str) -> None: ...
    def log(self, name: str) -> str: ...


class SlurmEvaluation(ClusterEvaluation):
    """One attempt at an evaluation.

    Args:
        queue: takes orders for it.
        key: what its machine signs with.
        job: what is evaluated.
        submission: the attempt.
        on_progress: called for each report.
        on_placed: called when its job is known, and when its machine is.
        on_printed: called with what it prints.
    """

    def __init__(
        self,
        queue: _Queue,
        key: bytes,
        job: Job,
        submission: Submission,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> None:
        super().__init__(job, submission, on_progress, on_placed, on_printed)
        self._queue, self._key = queue, key
        self.name = f"{submission.key}-{submission.attempt}"
        self.id = ""
        """The number of its job; empty while it is not known."""
        self.read = 0
        """Bytes of its progress that are known."""
        self.most = most_bytes(job)
        """Bytes that its result may have."""
        self._rest = b""
        self._lines = 0
        self._ended_at: float | None = None

    def submitted(self, id_: str) -> None:
        """Take in the number of its job."""
        self.id = id_
        if self._cancelled is not None or self._decided.is_set():
            self._queue.cancel(id_)
        else:
            self._on_placed(id_, "")

    def take(self, seen: Seen) -> None:
        """Take in what its machine has written."""
        try:
            self._take_progress(seen.progress)
            if seen.result is not None:
                if len(seen.result) > self.most + 65:
                    raise ValueError(f"a result above the limit of {self.most / 2**20:.0f} MiB")
                self.take_item(read_signed(self._key, RESULT, seen.result))
                self.lose("it ended without an outcome")
        except ValueError as exc:
            self.lose(f"its machine wrote {exc}")

    def _take_progress(self, data: bytes) -> None:
        self.read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            raise ValueError("a line without an end")
        for line in lines:
            self.take_item(read_signed(self._key, str(self._lines), line))
            self._lines += 1

    def look_at(self, job: slurm.Job | None) -> None:
        """Take in what the queue says: nothing, if its job has ended a while ago."""
        if job is not None and job.is_alive:
            self._ended_at = None
            if job.cannot_start:
                self._host = job.node
                self._queue.cancel(job.id)
                self.lose(f"SLURM could not start it: {job.reason}")
            return
        now = asyncio.get_running_loop().time()
        if self._ended_at is None:
            self._ended_at = now
        state = job.state if job is not None else "gone"
        if now - self._ended_at < _GRACE_SECONDS.get(state, _GRACE_FAILED_SECONDS):
            return
        self._host = self._host or (job.node if job is not None else "")
        said = self._queue.log(self.name)
        why = "its job is gone from SLURM's queue" if job is None else f"its job ended as {state}"
        # What fails before our code is there fails on the next machine, too.
        broken = state == "FAILED" and not self._started
        self.lose(f"{why}{f': {said}' if said else ''}", permanent=broken)

    def lose(self, reason: str, blamed: bool = True, permanent: bool = False) -> None:
        """Settle that there is no outcome, and remove what is kept of it."""
        if not self._decided.is_set():
            super().lose(reason, blamed, permanent)
            self._queue.release(self.name)

    async def acknowledge(self) -> None:
        """Remove what is kept of it."""
        self._queue.release(self.name)

    def _place(self, node: str, orders: str) -> tuple[str, str]:
        return self.id, node

    def _order(self, line: str) -> None:
        self._queue.order(self.name, line)

    def _withdraw(self) -> None:
        if self.id:
            self._queue.cancel(self.id)
        self.lose("it was cancelled")

    def _forget(self) -> None:
        self._queue.forget(self.name)
