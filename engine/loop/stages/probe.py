"""The probe: compare what a program returns on a few inputs before it is measured."""

from __future__ import annotations

from engine.journal.events import Data, EvalDone
from engine.loop.session import RunSession
from engine.loop.stages.measure import Measure
from engine.state.node import Node
from engine.state.novelty import taken_over
from engine.task.spec import PROBE

__all__ = ["Probe", "withdraw"]

_CHECKED = 0.1
"""Chance that a node is measured although its score could be taken over: the probe is trusted while it is right."""


class Probe:
    """Run a task's probe.

    Args:
        session: the run.
        measure: runs it as an evaluation.
    """

    def __init__(self, session: RunSession, measure: Measure) -> None:
        self._session, self._measure = session, measure

    async def run(self, node: Node) -> EvalDone | None:
        """Return the end of a node's evaluation if it behaves as a measured node does; None if it is to be measured.

        A probe that fails decides nothing.

        Raises:
            Stopping: the engine is ending; the probe runs at the next start.
        """
        session = self._session
        state, stage = session.state, session.spec.probe_stage
        if stage is None or not state.settings.novelty.probe:
            return None
        if not self._measure.results(node, stage):
            await self._measure.repeat(node, stage, 0)
        # Seeds and what a person gave are measured.
        if not node.round or node.operator == "injected":
            return None
        other = taken_over(state, node)
        if other is None or session.rng(node.round, "probe", node.id).random() < _CHECKED:
            return None
        assert other.score is not None, "it was measured"
        return EvalDone(
            "ok",
            other.score,
            other.metrics,
            f"not measured: it behaves as node {other.id} in the probe and takes over its score",
            stage.name,
            self._measure.seconds(node),
            measurements=0,
            judge=other.judge,
            taken_from=other.id,
        )


def withdraw(session: RunSession) -> None:
    """Take back the scores that were taken over, once the probe was wrong: no design starts from what nobody measured.

    A node that is measured again just now is left to that.
    """
    state = session.state
    if not state.probes.wrong or not state.probes.held:
        return
    effects: list[tuple[Data, int]] = []
    for number in state.probes.held:
        node = state.nodes[number]
        if number not in state.evaluations:
            why = f"the probe was wrong, so the score of node {node.taken_from} is not its own; 'rerun' measures it"
            effects.append((EvalDone("cancelled", None, {}, why, PROBE, node.seconds, measurements=0), number))
    if effects:
        session.emit_all(effects)
