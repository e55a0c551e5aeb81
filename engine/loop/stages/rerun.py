"""Rerun: measure a node once more because a person asked for it."""

from __future__ import annotations

from engine.journal.events import EvalDone, EvalStageDone
from engine.loop.hooks import RunHooks
from engine.loop.session import RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.best import crown_fittest, record_end
from engine.loop.stages.confirm import Confirm
from engine.loop.stages.judge import Judge
from engine.loop.stages.measure import Measure
from engine.loop.stages.verdict import decide

__all__ = ["Rerun"]


class Rerun:
    """Measure nodes again, beside the rounds.

    Args:
        session: the run.
        measure: runs the evaluation.
        judge: marks the program, if the run ranks by marks and it has none.
        confirm: verifies the gain of a new best.
        hooks: are told of a new best.
        analyze: reports on the node anew.
    """

    def __init__(
        self,
        session: RunSession,
        measure: Measure,
        judge: Judge,
        confirm: Confirm,
        hooks: RunHooks,
        analyze: Analyze,
    ) -> None:
        self._session, self._measure, self._judge = session, measure, judge
        self._confirm, self._hooks, self._analyze = confirm, hooks, analyze

    async def run(self, node_id: int) -> None:
        """Add a measurement to a node and record what all its measurements say together.

        Raises:
            Stopping: the engine is ending; the measurement is taken at the next start.
        """
        session = self._session
        node = session.state.nodes[node_id]
        repeat = session.state.evaluations[node_id].rerun
        assert repeat is not None
        stage = session.spec.score_stage
        if not self._measure.results(node, stage):
            await self._measure.repeat(node, stage, repeat, session.state.evaluations[node_id].on)
        # All of this node's measurements are on the disk by now, the new one too.
        past = [event.data for event in session.past_of(node_id) if isinstance(event.data, EvalStageDone)]
        measured = [result for result in past if result.stage == stage.name]
        good = [result for result in measured if result.status == "ok"]
        verdict = decide(session.spec, stage, good or measured[-1:])
        last, problem = measured[-1], ""
        if last.status != "ok" and good:
            problem = f"measurement {repeat + 1}: {last.status}: {last.reason}"
        mark = await self._judge.run(node, verdict)
        if mark.problem:
            problem = f"not judged: {mark.problem}"
        check = await self._confirm.run(node, verdict, mark.value, good)
        done = EvalDone(
            status=verdict.status,
            score=verdict.score,
            metrics=verdict.metrics,
            reason=(check.reason if check is not None else "") or problem or verdict.reason,
            stage=verdict.stage,
            seconds=round(sum(result.seconds for result in past), 3),
            measurements=verdict.measurements,
            spread=verdict.spread,
            verified=node.verified,
            judge=mark.value,
        )
        before = session.state.rankings
        record_end(session, self._hooks, node, done, check)
        if session.state.best == node_id or session.state.rankings != before:
            # The best may have fallen, or others are ranked anew against what was measured.
            crown_fittest(session)
        await self._analyze.run(node_id)
