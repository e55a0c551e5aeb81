"""Experiment: run a node's program under limits, stage by stage, and decide what it is worth."""

from __future__ import annotations

from engine.journal.events import EvalDone
from engine.loop.hooks import RunHooks
from engine.loop.session import RunSession
from engine.loop.stages.best import is_new_best, record_end
from engine.loop.stages.confirm import Confirm
from engine.loop.stages.judge import Judge
from engine.loop.stages.measure import Measure
from engine.loop.stages.probe import Probe, withdraw
from engine.loop.stages.verdict import Verdict
from engine.state.node import Node
from engine.state.null_test import CONFIRMATIONS

__all__ = ["Experiment"]


class Experiment:
    """The experiment stage.

    Args:
        session: the run.
        measure: runs the repeats of a stage of the task.
        judge: marks the program, if the run ranks by marks.
        confirm: verifies the gain of a new best.
        hooks: are told of a new best.
    """

    def __init__(self, session: RunSession, measure: Measure, judge: Judge, confirm: Confirm, hooks: RunHooks) -> None:
        self._session, self._measure, self._judge = session, measure, judge
        self._confirm, self._hooks = confirm, hooks
        self._probe = Probe(session, measure)

    async def run(self, node_id: int) -> None:
        """Take a node through the stages of its evaluation until one decides, then record the end.

        A node that behaves as a measured one does in the task's probe takes over its score. What was measured before a
        crash is kept: only repeats without a recorded result are run.

        Raises:
            Stopping: the engine is ending; the evaluation goes on at the next start.
        """
        session = self._session
        node = session.state.nodes[node_id]
        known = await self._probe.run(node)
        if known is not None:
            record_end(session, self._hooks, node, known)
            return
        verdict = await self._run_stages(node)
        mark = await self._judge.run(node, verdict)
        if session.spec.noisy and is_new_best(session, node, verdict, mark.value):
            # One lucky measurement must not crown a node.
            verdict = await self._measure_again(node, mark.value)
        verified, problem = None, f"not judged: {mark.problem}" if mark.problem else ""
        results = self._measure.results(node, session.spec.score_stage)
        check = await self._confirm.run(node, verdict, mark.value, results)
        if is_new_best(session, node, verdict, mark.value) and (check is None or check.outcome == "confirmed"):
            verified, problem = await self._promote(node)
            # Another one may have become the best meanwhile.
            check = await self._confirm.run(node, verdict, mark.value, results, check)
        done = EvalDone(
            status=verdict.status,
            score=verdict.score,
            metrics=verdict.metrics,
            reason=(check.reason if check is not None else "") or problem or verdict.reason,
            stage=verdict.stage,
            seconds=self._measure.seconds(node),
            measurements=verdict.measurements,
            spread=verdict.spread,
            verified=verified,
            judge=mark.value,
        )
        record_end(session, self._hooks, node, done, check)
        withdraw(session)

    async def _run_stages(self, node: Node) -> Verdict:
        """Return the verdict of the last stage that ranks, or of the first that the node does not pass."""
        verdict: Verdict | None = None
        for stage in self._session.spec.stages:
            if not stage.is_promotion:
                verdict = await self._measure.run(node, stage)
                if verdict.status != "ok":
                    break
        assert verdict is not None, "a task has at least one stage that ranks"
        return verdict

    async def _measure_again(self, node: Node, mark: float | None) -> Verdict:
        """Return the verdict of the stage that ranks, with further measurements."""
        stage, state = self._session.spec.score_stage, self._session.state
        if self._session.spec.noisy == "unknown":
            # Whether a score is noisy is a matter of the program too: a seed without random numbers says nothing of
            # designs that draw them.
            verdict = await self._measure.run(node, stage, stage.repeats + 1)
            results = [result for result in self._measure.results(node, stage) if result.repeat <= stage.repeats]
            if len({state.measured_fitness(result.score, result.metrics, mark) for result in results}) == 1:
                return verdict
        return await self._measure.run(node, stage, stage.repeats + CONFIRMATIONS)

    async def _promote(self, node: Node) -> tuple[float | None, str]:
        """Take a new best through the promotion stages: they verify a score and never take one away.

        Returns:
            The score of the last stage that it passed, and what is wrong if it did not pass all.
        """
        verified = None
        for stage in self._session.spec.stages:
            if stage.is_promotion:
                verdict = await self._measure.run(node, stage)
                if verdict.status != "ok":
                    return verified, f"not verified in '{stage.name}': {verdict.status}: {verdict.reason}"
                verified = verdict.score
        return verified, ""
