"""Verify: measure a node and the seed program on fresh data because a person asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.journal.events import VerifyDone, VerifyMeasured
from engine.loop.session import RunSession
from engine.loop.stages.best import crown_fittest
from engine.loop.stages.measure import Measure
from engine.state.gain import Outcome, check_of, judge_gain, mean_of
from engine.state.node import Node

__all__ = ["Verify"]


class Verify:
    """Take asked verifications to their end, beside the rounds.

    Args:
        session: the run.
        measure: runs the evaluations on fresh data.
    """

    def __init__(self, session: RunSession, measure: Measure) -> None:
        self._session, self._measure = session, measure

    async def run(self, node_id: int) -> VerifyDone:
        """Measure a node and node 0 on each draw that the journal names, and record what that says of its gain.

        If fresh data contradict the best, the fittest of the others is crowned.

        Raises:
            Stopping: the engine is ending; the verification goes on at the next start.
        """
        session, state = self._session, self._session.state
        node, started = state.nodes[node_id], state.verifications[node_id].started
        seed = None if started.reference is None else state.nodes[started.reference]
        found: list[VerifyMeasured] = []
        for draw in started.draws:
            found.append(await self._measure.fresh(node, node, draw))
            if seed is not None:
                found.append(await self._measure.fresh(node, seed, draw))
        done = self._decide(node, seed, found)
        session.emit(done, round=node.round, node=node.id)
        if node.quarantined and state.best == node.id:
            crown_fittest(session)
        await session.durable()
        return done

    def _decide(self, node: Node, seed: Node | None, found: Sequence[VerifyMeasured]) -> VerifyDone:
        state, spec = self._session.state, self._session.spec
        noise, confidence = state.noise, state.settings.confidence
        own = [result for result in found if result.of == node.id]
        reference = None if seed is None else seed.id

        def check(outcome: Outcome, gains: Sequence[float] = (), why: str = "") -> VerifyDone:
            return check_of(
                outcome,
                [],
                gains,
                confidence,
                reference=reference,
                found=found,
                node=node.id,
                asked=True,
                why=why,
            )

        # The seed is what all gains count from: fresh data can say that it fails, not that it has no gain.
        refused: Outcome = "unsupported" if seed is None else "quarantined"
        failed = next((result for result in own if result.score is None), None)
        if failed is not None:
            # A loaded machine says nothing against a program, nor does what the seed fails at, too.
            both = any(result.of != node.id and result.draw == failed.draw and result.score is None for result in found)
            excused = both or failed.status == "timeout"
            return check("unsupported" if excused else refused, why=f"{failed.status}: {failed.reason}")
        ranked = state.measured_fitness(node.score, node.metrics, node.judge)
        fitness = {result.draw: state.measured_fitness(result.score, result.metrics, node.judge) for result in own}
        if ranked is None or None in fitness.values():
            return check(refused, why="a part of its fitness is missing there")
        if spec.confirmation == "score":
            lower = next((r for r in own if ranked - (fitness[r.draw] or 0.0) > noise), None)
            if lower is not None:
                return check(refused, why=f"{lower.score:.8g} in place of {node.score:.8g}")
        if seed is None:
            return check("confirmed")
        gains = []
        for result in found:
            above = fitness.get(result.draw)
            under = state.measured_fitness(result.score, result.metrics, seed.judge)
            if result.of == seed.id and under is not None and above is not None:
                gains.append(above - under)
        if not gains:
            # It has scores where the seed has none.
            return check("confirmed")
        before = state.measured_fitness(seed.score, seed.metrics, seed.judge)
        recorded = [] if before is None else [ranked - before]
        outcome = judge_gain(recorded, gains, noise, confidence)
        if outcome == "quarantined":
            told = f"{mean_of(gains):.4g} over the seed program" + "".join(
                f", recorded {gain:.4g}" for gain in recorded
            )
            return check(outcome, gains, told)
        # What was recorded led the search here and flatters it: if fresh data have a spread, that alone counts.
        return check(judge_gain([], gains, noise, confidence) if len(gains) > 1 else outcome, gains)
