"""Evaluations of a run: start them as slots and GPUs allow; freeze, thaw and cancel all that run."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from engine.errors import EvolveError, Stopping
from engine.evaluation.build import Builds
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import MedianRule, RunningCurve
from engine.evaluation.evaluator import Evaluation, Job, Outcome, Printed, Progress, Stream
from engine.evaluation.executors.base import (
    EndedEvaluation,
    EvaluationLost,
    Executor,
    RunningEvaluation,
    Submission,
    cancelled_outcome,
)  # fmt: skip
from engine.evaluation.executors.local import LocalExecutor
from engine.loop.gate import PauseGate
from engine.state.node import NodeEvaluation, Verification
from engine.state.submissions import name_of_draw, name_of_evaluation

__all__ = ["EvaluationRecord", "Evaluations"]

_TRIES = 4
"""How often an engine starts an evaluation that is lost each time."""


class EvaluationRecord(Protocol):
    """Record one evaluation while it runs."""

    def started(self, job: Job) -> None:
        """Record that it starts."""

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Record a report of the evaluator; called for each."""

    def printed(self, stream: Stream, text: str, left_out: int) -> None:
        """Show what it printed since the last call; so many bytes before that are left out."""

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Record its outcome; return once that is on the disk, since nothing else keeps it any longer."""

    # The following are called only if the executor needs it.

    def last_submission(self) -> Submission | None:
        """Return the last attempt that the journal has, if its outcome is not recorded."""

    async def submitted(self, submission: Submission, executor: str) -> None:
        """Record that it is about to be submitted; return once that is on the disk."""

    def placed(self, submission: Submission, host: str) -> None:
        """Record where it runs."""

    def lost(self, submission: Submission, loss: EvaluationLost) -> None:
        """Record that an attempt ended without an outcome."""


class _Attempt:
    """What one attempt at an evaluation reports, and the rule that may end it early.

    Args:
        record: takes the reports.
        rule: judges them by those of earlier evaluations; None if nothing does.
    """

    def __init__(self, record: EvaluationRecord, rule: MedianRule | None) -> None:
        self._record, self._rule = record, rule
        self._running = RunningCurve(rule) if rule is not None else None
        self._given_up = ""
        self._evaluation: RunningEvaluation | None = None
        self.curve = Curve()

    def follow(self, evaluation: RunningEvaluation) -> RunningEvaluation:
        """Take the evaluation that may have to be ended; return it."""
        self._evaluation = evaluation
        if self._given_up:
            evaluation.cancel(self._given_up)
        return evaluation

    def on_progress(self, step: float | None, values: dict[str, float]) -> None:
        """Take a report."""
        self.curve.add(step, values)
        if self._running is not None and not self._given_up:
            self._given_up = self._running.should_stop(step, values)
            if self._given_up and self._evaluation is not None:
                self._evaluation.cancel(self._given_up)
        self._record.progressed(step, values)

    def settle(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what the rule made of it, and let the rule learn from it."""
        if outcome.status == "cancelled" and self._given_up:
            return dataclasses.replace(outcome, status="rejected", reason=self._given_up)
        if outcome.status == "ok" and self._rule is not None and self._evaluation is not None:
            self._rule.add(self.curve.points())
        return outcome


class Evaluations:
    """Run evaluations. Nothing else knows which of them run.

    Args:
        work: the folder in which each evaluation has a folder of its own.
        gate: lets evaluations start, and tells when the engine is ending.
        slots: evaluations at once.
        early_stop: by stage, the rule that ends hopeless evaluations.
        stage_slots: further slots of stages that have fewer than the run.
        executor: where evaluations run; by default this machine.
    """

    def __init__(
        self,
        work: Path,
        gate: PauseGate,
        slots: CapacityLimiter,
        early_stop: Mapping[str, MedianRule] | None = None,
        stage_slots: Mapping[str, CapacityLimiter] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._work, self._gate, self._slots = work, gate, slots
        self._early_stop = early_stop or {}
        self._stage_slots = stage_slots or {}
        self._here = LocalExecutor()
        self._executor: Executor = executor or self._here
        self._running: set[RunningEvaluation] = set()
        self._builds = Builds(self._build)
        self._frozen = False
        self._cancelled = ""
        """Why all evaluations are cancelled, and those that start as well."""

    def __len__(self) -> int:
        """Return how many evaluations run now."""
        return len(self._running)

    def folder(self, node: int, stage: str, repeat: int) -> Path:
        """Return the folder of an evaluation."""
        return self._work / name_of_evaluation(node, stage, repeat)

    def fresh_folder(self, node: int, draw: int, of: int) -> Path:
        """Return the folder of a measurement on fresh data: of one node's program, to verify a node."""
        return self._work / name_of_draw(node, draw, of)

    async def run(self, job: Job, round_: int, record: EvaluationRecord, early_stop: bool = True, on: str = "") -> None:
        """Run an evaluation and record it, or record the result that an earlier engine left unrecorded.

        Args:
            job: what to evaluate; its device and its threads are filled in at the start.
            round_: the round that the gate must be open for.
            record: records it.
            early_stop: whether the stage's rule may end it, and learns of it.
            on: the machine of a cluster to run on, if it is there; empty for any.

        Raises:
            Stopping: the engine is ending; the evaluation runs at the next start.
            EvolveError: it could not run, for a reason other than the candidate.
        """
        if await self._adopt(job, record, early_stop):
            return
        while True:
            await self._gate.wait(round_)
            # The scarcer slot first: who waits for it must not keep others from theirs.
            async with self._stage_slots.get(job.stage) or nullcontext(), self._slots:
                # While this round waited for the slot, a person may have paused the run.
                if not self._gate.open_for(round_):
                    continue
                async with self._executor.lease(lambda: self._gate.open_for(round_)) as device:
                    if device is None:
                        continue
                    await self._run(job, device, round_, record, early_stop, on)
                return

    def freeze(self) -> None:
        """Stop all processes and clocks of evaluations, also of those that are about to start."""
        self._frozen = True
        for evaluation in self._running:
            evaluation.freeze()

    def thaw(self) -> None:
        """Continue frozen evaluations."""
        if self._frozen:
            self._frozen = False
            for evaluation in self._running:
                evaluation.thaw()

    def cancel(self, reason: str) -> None:
        """End all evaluations, also those that are about to start; they run anew at the next start of an engine."""
        self._cancelled = reason
        for evaluation in self._running:
            evaluation.cancel(reason)

    async def sweep(
        self, awaited: Mapping[int, NodeEvaluation], verifications: Mapping[int, Verification] | None = None
    ) -> None:
        """Remove folders of evaluations whose results were recorded just before an engine died.

        Args:
            awaited: by node, the evaluations that have not ended.
            verifications: by node, the verifications that have not ended.
        """
        verified = verifications or {}
        prefixes = tuple(f"{node}-" for node in awaited) + tuple(f"{node}-fresh" for node in verified)
        recorded = {
            self.folder(node, result.stage, result.repeat)
            for node, evaluation in awaited.items()
            for result in evaluation.done
        } | {
            self.fresh_folder(node, result.draw, result.of)
            for node, verification in verified.items()
            for result in verification.measured
        }
        for folder in self._work.iterdir():
            if folder in recorded or not folder.name.startswith(prefixes):
                await self._executor.discard(folder)

    async def _adopt(self, job: Job, record: EvaluationRecord, early_stop: bool) -> bool:
        """Record the outcome of an evaluation that an earlier engine started; return whether there was one."""
        submission = record.last_submission() if self._executor.records_submissions else None
        attempt = _Attempt(record, self._early_stop.get(job.stage) if early_stop else None)

        def on_placed(handle: str, node: str) -> None:
            assert submission is not None, "only what was submitted is placed"
            if node:
                record.placed(dataclasses.replace(submission, handle=handle), node)

        evaluation = await self._executor.adopt(job, submission, attempt.on_progress, on_placed, record.printed)
        if evaluation is None:
            return False
        if isinstance(evaluation, EndedEvaluation):
            outcome = await self._outcome(evaluation)
        else:
            assert submission is not None, "what runs without its engine was submitted"
            record.started(job)
            stage_slots = self._stage_slots.get(job.stage)
            with self._slots.taken(), stage_slots.taken() if stage_slots is not None else nullcontext():
                try:
                    outcome = await self._outcome(attempt.follow(evaluation))
                except EvaluationLost as loss:
                    record.lost(submission, loss)
                    return False
        await record.ended(attempt.settle(outcome), attempt.curve)
        await evaluation.acknowledge()
        return True

    async def _run(
        self, job: Job, device: str, round_: int, record: EvaluationRecord, early_stop: bool, on: str
    ) -> None:
        job = dataclasses.replace(job, device=device, threads=job.cores or self._executor.threads(self._slots.limit))
        record.started(job)
        if job.build is not None:
            made = await self._builds.of(job)
            if isinstance(made, Outcome):
                await record.ended(made, Curve())
                return
            job = dataclasses.replace(job, built=made)
        rule = self._early_stop.get(job.stage) if early_stop else None
        submission = self._submission(job, record, on)
        end = submission.attempt + _TRIES  # what earlier engines left is no loss
        while True:
            attempt = _Attempt(record, rule)
            evaluation = attempt.follow(await self._start(job, attempt.on_progress, submission, record))
            try:
                outcome = await self._outcome(evaluation)
                break
            except EvaluationLost as loss:
                submission = self._after_loss(submission, end, loss, record)
                if submission.attempt >= end:
                    await record.ended(_given_up(job, loss), Curve())
                    return
            await self._gate.wait(round_)
        await record.ended(attempt.settle(outcome), attempt.curve)
        await evaluation.acknowledge()

    def _submission(self, job: Job, record: EvaluationRecord, on: str) -> Submission:
        """Return the next attempt at an evaluation; the journal may have earlier ones."""
        last = record.last_submission() if self._executor.records_submissions else None
        if last is None:
            return Submission(f"{job.folder.name}-{secrets.token_hex(8)}", on=on)
        return dataclasses.replace(last, attempt=last.attempt + 1, handle="", on="" if on in last.avoid else on)

    async def _start(
        self, job: Job, on_progress: Progress, submission: Submission, record: EvaluationRecord
    ) -> RunningEvaluation:
        """Start an attempt, with a record before and after."""
        if self._executor.records_submissions:
            await record.submitted(submission, self._executor.name)

        def on_placed(handle: str, node: str) -> None:
            record.placed(dataclasses.replace(submission, handle=handle), node)

        return await self._executor.start(job, on_progress, submission, on_placed, record.printed)

    def _after_loss(
        self, submission: Submission, end: int, loss: EvaluationLost, record: EvaluationRecord | None
    ) -> Submission:
        """Record a loss; return the next attempt, which is not made if it is `end`.

        Raises:
            EvolveError: another attempt would end the same way.
        """
        if record is not None:
            record.lost(submission, loss)
        following = submission.attempt + 1
        if loss.permanent and following >= end:
            where = f" on {loss.node}" if loss.node else ""
            raise EvolveError(
                f"an evaluation could not run{where}: {loss.reason}",
                f"'evolve doctor --executor {self._executor.name}' looks at each machine",
            )
        avoid = (*submission.avoid, loss.node) if loss.node and loss.node not in submission.avoid else submission.avoid
        # Better on another machine than where it was lost, even if a person asked for that one.
        return Submission(submission.key, following, avoid=avoid, on="" if submission.on in avoid else submission.on)

    async def _outcome(self, evaluation: RunningEvaluation) -> Outcome:
        """Wait for the outcome of an evaluation that was started just now.

        Raises:
            Stopping: the engine is ending.
            EvaluationLost: it ended without one.
        """
        self._running.add(evaluation)
        if self._cancelled:
            evaluation.cancel(self._cancelled)
        elif self._frozen:
            evaluation.freeze()
        try:
            outcome = await evaluation.outcome()
        except EvaluationLost:
            if self._cancelled:
                raise Stopping from None
            raise
        finally:
            self._running.discard(evaluation)
        if outcome.status == "cancelled" and self._gate.stopping:
            await evaluation.acknowledge()
            raise Stopping
        return outcome

    async def run_errand(self, job: Job, on_printed: Printed, on_told: Progress) -> Outcome:
        """Run a command that edits a folder, on this machine, and return its outcome.

        Args:
            job: with an `errand`.
            on_printed: called with what it prints.
            on_told: called with what it says that it cost so far, by the names in its usage.json.

        Raises:
            Stopping: the engine is ending.
            EvolveError: it could not run.
        """
        if job.folder.exists():
            await self._here.discard(job.folder)  # left by one whose engine is gone
        evaluation = await Evaluation.start(job, on_told, on_printed)
        outcome = await self._outcome(evaluation)
        await evaluation.acknowledge()
        return outcome

    async def _build(self, job: Job) -> Outcome:
        """Run a build, and return its outcome."""
        await self._executor.adopt(job, None, _unheard, _unseen, _unread)  # what is left of one whose engine is gone
        submission = Submission(f"{job.folder.name}-{secrets.token_hex(8)}")
        while True:
            evaluation = await self._executor.start(job, _unheard, submission, _unseen, _unread)
            try:
                outcome = await self._outcome(evaluation)
                break
            except EvaluationLost as loss:
                submission = self._after_loss(submission, _TRIES, loss, None)
                if submission.attempt >= _TRIES:
                    return _given_up(job, loss)
        await evaluation.acknowledge()
        return outcome


def _unheard(step: float | None, values: dict[str, float]) -> None:
    """Ignore a report."""


def _unread(stream: Stream, text: str, left_out: int) -> None:
    """Ignore what it prints."""


def _unseen(handle: str, node: str) -> None:
    """Ignore where it runs."""


def _given_up(job: Job, loss: EvaluationLost) -> Outcome:
    """Return the outcome of an evaluation that was lost each time; its program is not to blame as far as we know."""
    return cancelled_outcome(job, f"lost {_TRIES} times, at last: {loss.reason}")
