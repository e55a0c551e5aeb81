"""Measure a node in a stage: run its repeats, and record each in the journal."""

from __future__ import annotations

from pathlib import Path

from engine.evaluation.build import build_of, tree_of
from engine.evaluation.evaluator import Job
from engine.journal.events import EvalStageDone, VerifyMeasured
from engine.loop.evaluations import Evaluations
from engine.loop.session import RunSession
from engine.loop.stages.records import FreshRecord, StageRecord
from engine.loop.stages.verdict import Verdict, decide
from engine.loop.task_copy import TaskCopy
from engine.runs.secret import DataSeeds, EvaluationSeeds
from engine.state.node import Node
from engine.task.spec import Stage

__all__ = ["Measure"]


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

    async def repeat(self, node: Node, stage: Stage, repeat: int, on: str = "") -> None:
        """Run one evaluation; its result is on the disk when this returns.

        Args:
            node: the node.
            stage: the stage.
            repeat: number of the evaluation.
            on: the machine of a cluster to run on, if it is there; empty for any.

        Raises:
            Stopping: the engine is ending; the evaluation runs at the next start.
        """
        # The same program gets the same seeds, whatever round it came in.
        drawn = self._seeds.draw(stage.name, repeat)
        job = self._job(node, stage, repeat, drawn, self._evaluations.folder(node.id, stage.name, repeat))
        await self._evaluations.run(job, node.round, StageRecord(self._session, node, stage.name, repeat), on=on)

    async def fresh(self, node: Node, of: Node, draw: int, on: str = "") -> VerifyMeasured:
        """Run one evaluation on fresh data, or return its result if it was recorded before.

        Args:
            node: the node that is verified.
            of: the node whose program is measured.
            draw: number of the draw.
            on: the machine of a cluster to run on, if it is there; empty for any.

        Raises:
            Stopping: the engine is ending; the evaluation runs at the next start.
        """
        known = self._fresh_result(node, of, draw)
        if known is None:
            stage = self._session.spec.score_stage
            drawn = self._seeds.draw_fresh(stage.name, draw)
            job = self._job(of, stage, 0, drawn, self._evaluations.fresh_folder(node.id, draw, of.id))
            record = FreshRecord(self._session, node, of, draw)
            await self._evaluations.run(job, node.round, record, early_stop=False, on=on)
            known = self._fresh_result(node, of, draw)
            assert known is not None, "its record was on the disk before this returned"
        return known

    def _fresh_result(self, node: Node, of: Node, draw: int) -> VerifyMeasured | None:
        measured = self._session.state.verifications[node.id].measured
        return next((result for result in measured if (result.of, result.draw) == (of.id, draw)), None)

    def results(self, node: Node, stage: Stage) -> list[EvalStageDone]:
        """Return the results of a stage in the evaluation that is under way."""
        return [result for result in self._session.state.evaluations[node.id].done if result.stage == stage.name]

    def seconds(self, node: Node) -> float:
        """Return how long the evaluation that is under way took in all stages."""
        return round(sum(result.seconds for result in self._session.state.evaluations[node.id].done), 3)

    def _recorded(self) -> list[str]:
        """Return the paths of the task's files, as recorded."""
        start = self._session.state.start
        return [*start.files, *start.large_files]

    def _given(self, node: Node) -> str:
        """Return the construction that a node's program is to improve; empty if there is none.

        It is that of the node it was made from, or of the best if that has none. A node is handed the same one whenever
        it is measured.
        """
        state = self._session.state
        if self._session.spec.kind != "improve" or node.round == 0:
            return ""
        if node.given_blob or node.status is not None:
            return self._session.text(node.given_blob)
        sources = [state.nodes[parent] for parent in node.parents[:1]] + [*filter(None, [state.best_node])]
        return self._session.text(
            next((source.construction_blob for source in sources if source.construction_blob), "")
        )

    def _job(self, node: Node, stage: Stage, repeat: int, drawn: EvaluationSeeds, folder: Path) -> Job:
        session, spec = self._session, self._session.spec
        return Job(
            program=session.text(node.program),
            task_folder=self._task.folder,
            folder=folder,
            metric=spec.metric,
            guarded=spec.guarded,
            gpu=spec.gpu,
            trusted=spec.unconfined,
            containers=spec.evaluator == "container",
            python=self._task.python,
            mounts=self._task.mounts,
            stage=stage.name,
            repeat=repeat,
            seed=drawn.seed,
            data_seed=drawn.data,
            sandbox_seed=drawn.sandbox,
            settings={**spec.settings, **stage.settings},
            given=self._given(node),
            limits=spec.limits_of(stage),
            threads=1,
            cores=spec.cores,
            suffix=spec.language.suffix,
            build=build_of(spec, self._task.folder),
            tree=tree_of(spec, self._task.folder, session.text(node.program), self._recorded()),
        )
