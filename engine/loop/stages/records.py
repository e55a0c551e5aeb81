"""Record evaluations in the journal: those of a stage, and those on fresh data."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from engine.evaluation.bound import held_to_bound
from engine.evaluation.construction import decode_construction
from engine.evaluation.curve import Curve
from engine.evaluation.evaluator import Job, Outcome, Stream
from engine.evaluation.executors.base import EvaluationLost, Submission
from engine.journal.clock import steady_ms
from engine.journal.database import sha256_of
from engine.journal.events import (
    EvalLost,
    EvalPlaced,
    EvalProgress,
    EvalStageDone,
    EvalStarted,
    EvalSubmitted,
    MachineSeen,
    VerifyMeasured,
)  # fmt: skip
from engine.journal.live import LIVE_OUTPUT
from engine.loop.session import RunSession
from engine.state.node import Node
from engine.state.submissions import name_of_draw, name_of_evaluation

__all__ = ["FreshRecord", "StageRecord"]

_PROGRESS_MS = 1000
_KEY = re.compile(r"[A-Za-z0-9-]{1,200}")


class _Record:
    """What the records of all evaluations have in common: their submissions, and what is kept of an outcome.

    Args:
        session: the run.
        node: the node that is measured.
        name: the evaluation's name in the run.
    """

    def __init__(self, session: RunSession, node: Node, name: str) -> None:
        self._session, self._node, self._name = session, node, name

    def last_submission(self) -> Submission | None:
        """Return the last attempt in the journal, if its outcome is not there.

        A journal from elsewhere may hold a key that is a path, and executors name files by keys: no engine made it.
        """
        last = self._session.state.submitted.get(self._name)
        if last is None or last.attempt < 0 or _KEY.fullmatch(last.key) is None:
            return None
        return Submission(last.key, last.attempt, last.handle, last.avoid)

    async def submitted(self, submission: Submission, executor: str) -> None:
        """Record that it is about to be submitted, and wait until that is on the disk."""
        self._emit(EvalSubmitted(self._name, submission.key, submission.attempt, executor))
        await self._session.durable()

    def placed(self, submission: Submission, host: str) -> None:
        """Record where it runs."""
        self._emit(EvalPlaced(self._name, submission.key, submission.attempt, submission.handle, host))

    def lost(self, submission: Submission, loss: EvaluationLost) -> None:
        """Record that an attempt ended without an outcome."""
        self._emit(EvalLost(self._name, submission.key, submission.attempt, loss.node, loss.reason))

    def _emit(self, event: EvalSubmitted | EvalPlaced | EvalLost) -> None:
        self._session.emit(event, round=self._node.round, node=self._node.id)

    def _results(self, outcome: Outcome) -> dict[str, Any]:
        """Return what is kept of an outcome, by the names that its events have for it."""
        place = outcome.place
        if place is not None and place.machine not in self._session.state.machines:
            self._session.emit(MachineSeen(place.machine, place.host, dict(place.facts)))
        outcome = held_to_bound(outcome, self._session.spec)
        return {
            "status": outcome.status,
            "score": outcome.score,
            "metrics": outcome.metrics,
            "reason": outcome.reason,
            "guarantee": outcome.guarantee,
            "seconds": round(outcome.seconds, 4),
            "cpu_seconds": round(outcome.cpu_seconds, 4),
            "peak_mb": round(outcome.peak_mb, 1),
            "stdout_blob": sha256_of(outcome.stdout) if outcome.stdout else "",
            "stderr_blob": sha256_of(outcome.stderr) if outcome.stderr else "",
            "host": place.host if place is not None else "",
            "machine": place.machine if place is not None else "",
        }


class StageRecord(_Record):
    """Record one evaluation in the journal."""

    def __init__(self, session: RunSession, node: Node, stage: str, repeat: int) -> None:
        super().__init__(session, node, name_of_evaluation(node.id, stage, repeat))
        self._stage, self._repeat = stage, repeat
        self._sampled_at: int | None = None

    def started(self, job: Job) -> None:
        """Record the start."""
        seed = job.seed if self._session.state.seed_known else 0
        given = sha256_of(job.given.encode()) if job.given else ""
        event = EvalStarted(
            stage=self._stage, repeat=self._repeat, seed=seed, device=job.device, given_blob=given
        )  # the blob is there: it is another node's construction
        self._session.emit(event, round=self._node.round, node=self._node.id)

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Record one report a second for those who watch; the whole curve is kept with the result."""
        now = steady_ms()
        if self._sampled_at is None or now - self._sampled_at >= _PROGRESS_MS:
            self._sampled_at = now
            event = EvalProgress(stage=self._stage, repeat=self._repeat, step=step, values=values)
            self._session.emit(event, round=self._node.round, node=self._node.id)

    def printed(self, stream: Stream, text: str, left_out: int) -> None:
        """Show it to those who watch; the whole output is kept with the result."""
        about = {"node": self._node.id, "stage": self._stage, "repeat": self._repeat}
        row = {**about, "stream": stream, "text": text, "left_out": left_out}
        self._session.live(LIVE_OUTPUT, self._node.round, msgspec.json.encode(row))

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Record the outcome and wait until it is on the disk."""
        kept, feedback, picture = curve.encode(), outcome.feedback.encode(), outcome.picture.encode()
        construction = self._construction(outcome)
        event = EvalStageDone(
            stage=self._stage,
            repeat=self._repeat,
            curve_blob=sha256_of(kept) if kept else "",
            feedback_blob=sha256_of(feedback) if feedback else "",
            picture_blob=sha256_of(picture) if picture else "",
            construction_blob=sha256_of(construction) if construction else "",
            **self._results(outcome),
        )
        texts = (outcome.stdout, outcome.stderr, kept, feedback, picture, construction)
        blobs = [content for content in texts if content]
        self._session.emit(event, round=self._node.round, node=self._node.id, blobs=blobs)
        await self._session.durable()

    def _construction(self, outcome: Outcome) -> bytes:
        """Return what is kept for later programs to improve; empty if there is nothing, or nobody is to improve it."""
        if self._session.spec.kind != "improve" or outcome.status != "ok":
            return b""
        return outcome.construction.encode() if decode_construction(outcome.construction) is not None else b""


class FreshRecord(_Record):
    """Record one measurement on fresh data in the journal."""

    def __init__(self, session: RunSession, node: Node, of: Node, draw: int) -> None:
        super().__init__(session, node, name_of_draw(node.id, draw, of.id))
        self._of, self._draw = of, draw

    def started(self, job: Job) -> None:
        """Nothing: the verification's own start is recorded."""

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Nothing."""

    def printed(self, stream: Stream, text: str, left_out: int) -> None:
        """Nothing."""

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Record the outcome and wait until it is on the disk."""
        event = VerifyMeasured(of=self._of.id, draw=self._draw, **self._results(outcome))
        blobs = [content for content in (outcome.stdout, outcome.stderr) if content]
        self._session.emit(event, round=self._node.round, node=self._node.id, blobs=blobs)
        await self._session.durable()
