"""Measure a node in a stage: run its repeats, and record each in the journal."""

from __future__ import annotations

from engine.evaluation.curve import Curve
from engine.evaluation.evaluator import Job, Outcome
from engine.journal.clock import steady_ms
from engine.journal.database import sha256_of
from engine.journal.events import EvalProgress, EvalStageDone, EvalStarted
from engine.loop.evaluations import Evaluations
from engine.loop.session import RunSession
from engine.loop.stages.verdict import Verdict, decide
from engine.loop.task_copy import TaskCopy
from engine.runs.secret import DataSeeds
from engine.state.node import Node
from engine.task.spec import Stage

__all__ = ["Measure"]

_PROGRESS_MS = 1000


class Measure:
    """Run the repeats of stages.

    Args:
        session: the run.
        evaluations: runs them.
        task: what they need beside the node's program.
        seeds: the seeds of each.
    """

    def __init__(self, session: RunSession, evaluations: Evaluations, task: TaskCopy, seeds: DataSeeds) -> None:
        self._session, self._evaluations, self._task, self._seeds = session, evaluations, task, seeds

    async def run(self, node: Node, stage: Stage, repeats: int | None = None) -> Verdict:
        """Run the repeats of a stage that have no recorded result, until one fails; return what all say together.

        Args:
            node: the node.
            stage: the stage.
            repeats: how many; by default as many as the stage has.

        Raises:
            Stopping: the engine is ending; the repeats that are missing run at the next start.
        """
        count = repeats or stage.repeats
        for repeat in range(count):
            results = self.results(node, stage)
            if any(result.repeat == repeat for result in results):
                continue
            if any(result.status != "ok" for result in results):
                break
            await self.repeat(node, stage, repeat)
        # After a crash there may be more results than are asked for.
        results = [result for result in self.results(node, stage) if result.repeat < count]
        return decide(self._session.spec, stage, results)

    async def repeat(self, node: Node, stage: Stage, repeat: int) -> None:
        """Run one evaluation; its result is on the disk when this returns.

        Raises:
            Stopping: the engine is ending; the evaluation runs at the next start.
        """
        await self._evaluations.run(
            self._job(node, stage, repeat), node.round, _Record(self._session, node, stage.name, repeat)
        )

    def results(self, node: Node, stage: Stage) -> list[EvalStageDone]:
        """Return the results of a stage in the evaluation that is under way."""
        return [result for result in self._session.state.evaluations[node.id].done if result.stage == stage.name]

    def seconds(self, node: Node) -> float:
        """Return how long the evaluation that is under way took in all stages."""
        return round(sum(result.seconds for result in self._session.state.evaluations[node.id].done), 3)

    def _job(self, node: Node, stage: Stage, repeat: int) -> Job:
        session, spec = self._session, self._session.spec
        # The same program gets the same seeds, whatever round it came in.
        drawn = self._seeds.draw(stage.name, repeat)
        return Job(
            program=session.text(node.program),
            task_folder=self._task.folder,
            folder=self._evaluations.folder(node.id, stage.name, repeat),
            metric=spec.metric,
            guarded=spec.guarded,
            gpu=spec.gpu,
            python=self._task.python,
            mounts=self._task.mounts,
            stage=stage.name,
            repeat=repeat,
            seed=drawn.seed,
            data_seed=drawn.data,
            sandbox_seed=drawn.sandbox,
            settings={**spec.settings, **stage.settings},
            limits=spec.limits_of(stage),
            threads=1,
        )


class _Record:
    """Record one evaluation in the journal."""

    def __init__(self, session: RunSession, node: Node, stage: str, repeat: int) -> None:
        self._session, self._node, self._stage, self._repeat = session, node, stage, repeat
        self._sampled_at: int | None = None

    def started(self, job: Job) -> None:
        """Record the start."""
        seed = job.seed if self._session.state.seed_known else 0
        event = EvalStarted(stage=self._stage, repeat=self._repeat, seed=seed, device=job.device)
        self._session.emit(event, round=self._node.round, node=self._node.id)

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Record one report a second for those who watch; the whole curve is kept with the result."""
        now = steady_ms()
        if self._sampled_at is None or now - self._sampled_at >= _PROGRESS_MS:
            self._sampled_at = now
            event = EvalProgress(stage=self._stage, repeat=self._repeat, step=step, values=values)
            self._session.emit(event, round=self._node.round, node=self._node.id)

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Record the outcome and wait until it is on the disk."""
        kept = {"stdout": outcome.stdout, "stderr": outcome.stderr, "curve": curve.encode()}
        names = {key: sha256_of(content) if content else "" for key, content in kept.items()}
        event = EvalStageDone(
            stage=self._stage,
            status=outcome.status,
            repeat=self._repeat,
            score=outcome.score,
            metrics=outcome.metrics,
            reason=outcome.reason,
            guarantee=outcome.guarantee,
            seconds=round(outcome.seconds, 4),
            cpu_seconds=round(outcome.cpu_seconds, 4),
            peak_mb=round(outcome.peak_mb, 1),
            stdout_blob=names["stdout"],
            stderr_blob=names["stderr"],
            curve_blob=names["curve"],
        )
        blobs = [content for content in kept.values() if content]
        self._session.emit(event, round=self._node.round, node=self._node.id, blobs=blobs)
        await self._session.durable()
