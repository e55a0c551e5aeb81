"""Evaluations of a run: start them as slots and GPUs allow; freeze, thaw and cancel all that run."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from engine.errors import Stopping
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import MedianRule, RunningCurve
from engine.evaluation.evaluator import Job, Outcome
from engine.evaluation.executor import Executor, LocalExecutor, RunningEvaluation
from engine.evaluation.gpus import Gpus
from engine.evaluation.supervisor.folders import remove_tree
from engine.loop.gate import PauseGate
from engine.state.node import NodeEvaluation

__all__ = ["EvaluationRecord", "Evaluations"]


class EvaluationRecord(Protocol):
    """Record one evaluation while it runs."""

    def started(self, job: Job) -> None:
        """Record that it starts."""

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Record a report of the evaluator; called for each."""

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Record its outcome; return once that is on the disk, since nothing else keeps it any longer."""


class Evaluations:
    """Run evaluations. Nothing else knows which of them run.

    Args:
        work: the folder in which each evaluation has a folder of its own.
        gate: lets evaluations start, and tells when the engine is ending.
        slots: evaluations at once.
        gpus: the GPUs to lease, one for each evaluation; None if the task needs none.
        early_stop: by stage, the rule that ends hopeless evaluations.
        stage_slots: further slots of stages that have fewer than the run.
        executor: where evaluations run; by default this machine.
    """

    def __init__(
        self,
        work: Path,
        gate: PauseGate,
        slots: CapacityLimiter,
        gpus: Gpus | None = None,
        early_stop: Mapping[str, MedianRule] | None = None,
        stage_slots: Mapping[str, CapacityLimiter] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._work, self._gate, self._slots, self._gpus = work, gate, slots, gpus
        self._early_stop = early_stop or {}
        self._stage_slots = stage_slots or {}
        self._executor: Executor = executor or LocalExecutor()
        self._running: set[RunningEvaluation] = set()
        self._frozen = False
        self._cancelled = ""
        """Why all evaluations are cancelled, and those that start as well."""

    def __len__(self) -> int:
        """Return how many evaluations run now."""
        return len(self._running)

    def folder(self, node: int, stage: str, repeat: int) -> Path:
        """Return the folder of an evaluation."""
        return self._work / f"{node}-{stage}-{repeat}"

    async def run(self, job: Job, round_: int, record: EvaluationRecord) -> None:
        """Run an evaluation and record it, or record the result that an earlier engine left unrecorded.

        Args:
            job: what to evaluate; its device and its threads are filled in at the start.
            round_: the round that the gate must be open for.
            record: records it.

        Raises:
            Stopping: the engine is ending; the evaluation runs at the next start.
            EvolveError: it could not run, for a reason other than the candidate.
        """
        if job.folder.exists() and await self._recover(job, record):
            return
        while True:
            await self._gate.wait(round_)
            # The scarcer slot first: who waits for it must not keep others from theirs.
            async with self._stage_slots.get(job.stage) or nullcontext(), self._slots:
                # While this round waited for the slot, a person may have paused the run.
                if not self._gate.open_for(round_):
                    continue
                if self._gpus is None:
                    await self._run(job, "", record)
                else:
                    async with self._gpus.lease(lambda: self._gate.open_for(round_)) as device:
                        if device is None:
                            continue
                        await self._run(job, device, record)
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

    async def sweep(self, awaited: Mapping[int, NodeEvaluation]) -> None:
        """Remove folders of evaluations whose results were recorded just before an engine died.

        Args:
            awaited: by node, the evaluations that have not ended.
        """
        prefixes = tuple(f"{node}-" for node in awaited)
        recorded = {
            self.folder(node, result.stage, result.repeat)
            for node, evaluation in awaited.items()
            for result in evaluation.done
        }
        for folder in self._work.iterdir():
            if folder in recorded or not folder.name.startswith(prefixes):
                # Its supervisor may still be at work in it.
                await self._executor.recover(folder)
                await asyncio.to_thread(remove_tree, str(folder))

    async def _recover(self, job: Job, record: EvaluationRecord) -> bool:
        """Record what a dead engine's supervisor left in the folder, and remove that; return whether it counts."""
        outcome = await self._executor.recover(job.folder)
        # A power cut may have taken the node that had this number, and its program may have been another one.
        counts = outcome is not None and _holds(job.folder, job.program)
        if outcome is not None and counts:
            await record.ended(outcome, Curve())
        await asyncio.to_thread(remove_tree, str(job.folder))
        return counts

    async def _run(self, job: Job, device: str, record: EvaluationRecord) -> None:
        # All evaluations together fill the cores.
        threads = max(1, len(os.sched_getaffinity(0)) // self._slots.limit)
        job = dataclasses.replace(job, device=device, threads=threads)
        record.started(job)
        curve = Curve()
        rule = self._early_stop.get(job.stage)
        running = RunningCurve(rule) if rule is not None else None
        given_up = ""

        def on_progress(step: float | None, values: dict[str, float]) -> None:
            nonlocal given_up
            curve.add(step, values)
            if running is not None and not given_up:
                given_up = running.should_stop(step, values)
                if given_up:
                    evaluation.cancel(given_up)
            record.progressed(step, values)

        evaluation = await self._executor.start(job, on_progress)
        self._running.add(evaluation)
        if self._cancelled:
            evaluation.cancel(self._cancelled)
        elif self._frozen:
            evaluation.freeze()
        try:
            outcome = await evaluation.outcome()
        finally:
            self._running.discard(evaluation)
        if outcome.status == "cancelled" and self._gate.stopping:
            await evaluation.acknowledge()
            raise Stopping
        if outcome.status == "cancelled" and given_up:
            outcome = dataclasses.replace(outcome, status="rejected", reason=given_up)
        elif outcome.status == "ok" and rule is not None:
            rule.add(curve.points())
        await record.ended(outcome, curve)
        await evaluation.acknowledge()


def _holds(folder: Path, program: str) -> bool:
    """Tell whether an evaluation's folder is about this program."""
    try:
        return (folder / "program.py").read_bytes() == program.encode("utf-8", "surrogatepass")
    except OSError:
        return False
