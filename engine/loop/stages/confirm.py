"""Confirm: before a node becomes the best, look whether its gain over the best so far is there on fresh data.

Data of another draw move the score of every program, so that a fresh score says little beside a recorded one. Thus the
node and the best so far are both measured on the same fresh draw, and their difference counts. At most two evaluations
are spent, only for a node that would become the best; none if its own measurements speak against it, and one if its
score comes out the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.journal.events import EvalStageDone, VerifyDone, VerifyMeasured, VerifyStarted
from engine.loop.session import RunSession
from engine.loop.stages.best import is_new_best
from engine.loop.stages.measure import Measure
from engine.loop.stages.verdict import Verdict
from engine.state.gain import Outcome, check_of, is_futile, judge_gain
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.state.submissions import scores_depend_on_machine

__all__ = ["Confirm", "fresh_draws"]


class Confirm:
    """Verify the gains of new bests.

    Args:
        session: the run.
        measure: runs the evaluations on fresh data.
    """

    def __init__(self, session: RunSession, measure: Measure) -> None:
        self._session, self._measure = session, measure

    async def run(
        self,
        node: Node,
        verdict: Verdict,
        mark: float | None,
        results: list[EvalStageDone],
        before: VerifyDone | None = None,
    ) -> VerifyDone | None:
        """Return what is known of a node's gain over the best so far; None if it would not become the best.

        Args:
            node: the node, whose evaluation has not ended.
            verdict: what that says.
            mark: the judge's mark.
            results: its measurements in the stage that ranks.
            before: what an earlier call returned; another node may have become the best since.

        Raises:
            Stopping: the engine is ending; the verification goes on at the next start.
        """
        state = self._session.state
        check = before
        while (
            (check is None or (check.outcome == "confirmed" and check.reference != state.best))
            and state.best not in (None, node.id)
            and is_new_best(self._session, node, verdict, mark)
        ):
            assert state.best is not None
            best = state.nodes[state.best]
            if self._session.spec.confirmation == "off" and min(len(results), best.measurements) < 2:
                # Nothing but the score and `min_gain` tells.
                return None
            recorded = self._recorded(results, mark, best)
            check = await self._compare(node, verdict, mark, results, recorded, best)
        return check

    async def _compare(
        self,
        node: Node,
        verdict: Verdict,
        mark: float | None,
        results: list[EvalStageDone],
        recorded: list[float],
        best: Node,
    ) -> VerifyDone:
        session, state = self._session, self._session.state
        how, noise, confidence = session.spec.confirmation, state.noise, state.settings.confidence

        def decide(*found: VerifyMeasured, gains: Sequence[float] = ()) -> VerifyDone:
            outcome = judge_gain(recorded, gains, noise, confidence)
            return check_of(outcome, recorded, gains, confidence, reference=best.id, found=found, node=node.id)

        def refuse(
            *found: VerifyMeasured, why: str, reference: int | None = best.id, outcome: Outcome = "quarantined"
        ) -> VerifyDone:
            return check_of(outcome, recorded, [], confidence, reference=reference, found=found, node=node.id, why=why)

        if how == "off" or is_futile(recorded, noise, confidence):
            return decide()
        if node.id not in state.verifications:
            # The journal has the number before it is used, so that no other evaluation takes it.
            session.emit(VerifyStarted(fresh_draws(state), best.id), round=node.round, node=node.id)
            await session.committed()
        (draw,) = state.verifications[node.id].started.draws
        on = best.host if scores_depend_on_machine(session.spec) else ""
        found = await self._measure.fresh(node, node, draw, on)
        if found.score is None:
            beside = await self._measure.fresh(node, best, draw, on)
            why, fails = f"{found.status}: {found.reason}", beside.score is None
            # What the best so far fails at, too, says nothing against this one.
            return refuse(found, beside, why=why, outcome="unsupported" if fails else "quarantined")
        fitness = state.measured_fitness(found.score, found.metrics, mark)
        ranked = state.measured_fitness(verdict.score, verdict.metrics, mark)
        if fitness is None or ranked is None:
            return refuse(found, why="a part of its fitness is missing there")
        if how == "score" and ranked - fitness <= noise:
            return decide(found)
        if how == "score":
            return refuse(found, why=f"{found.score:.8g} in place of {verdict.score:.8g}", reference=None)
        if all(result.score == found.score for result in results) and math.isclose(fitness, ranked, rel_tol=1e-12):
            return decide(found)
        beside = await self._measure.fresh(node, best, draw, on)
        under = state.measured_fitness(beside.score, beside.metrics, best.judge)
        if under is None:
            # It has a score where the best so far has none.
            return decide(found, beside)
        return decide(found, beside, gains=[fitness - under])

    def _recorded(self, results: list[EvalStageDone], mark: float | None, best: Node) -> list[float]:
        """Return the node's gains on the data that both were measured on: the same repeat has the same data."""
        state, stage = self._session.state, self._session.spec.score_stage.name
        others = {
            event.data.repeat: state.measured_fitness(event.data.score, event.data.metrics, best.judge)
            for event in self._session.past_of(best.id)
            if isinstance(event.data, EvalStageDone) and event.data.stage == stage and event.data.status == "ok"
        }
        gains = []
        for result in sorted(results, key=lambda result: result.repeat):
            under = others.get(result.repeat)
            fitness = state.measured_fitness(result.score, result.metrics, mark)
            if result.status == "ok" and under is not None and fitness is not None:
                gains.append(fitness - under)
        return gains


def fresh_draws(state: RunState, count: int = 1) -> list[int]:
    """Return numbers of draws that no evaluation of the run has used."""
    return list(range(state.draws + 1, state.draws + 1 + count))
