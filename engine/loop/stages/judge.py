"""Judge: have a model mark the program of a measured node, if the run ranks by such marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.loop.gate import PauseGate
from engine.loop.models import ModelGateway
from engine.loop.session import RunSession
from engine.loop.stages.verdict import Verdict
from engine.loop.task_prompts import TaskPrompts
from engine.state.node import Node

if TYPE_CHECKING:
    from engine.analyzers.judge import Mark

__all__ = ["Judge"]


class Judge:
    """Mark nodes by the task's criteria.

    Args:
        session: the run.
        gate: lets a judgement start.
        models: ask models on behalf of nodes.
        prompts: what prompts are built from.
    """

    def __init__(self, session: RunSession, gate: PauseGate, models: ModelGateway, prompts: TaskPrompts) -> None:
        self._session, self._gate, self._models, self._prompts = session, gate, models, prompts

    async def run(self, node: Node, verdict: Verdict) -> Mark:
        """Return the judge's mark of a node. A program is judged once, and only if the run ranks by marks.

        Raises:
            Stopping: the engine is ending.
        """
        from engine.analyzers.judge import Mark, judge_program

        session, prompts = self._session, self._prompts
        counts = session.spec.judge is not None and session.state.settings.fitness.judge > 0
        if node.judge is not None or not counts or verdict.status != "ok":
            return Mark(node.judge)
        await self._gate.wait(node.round)
        return await judge_program(
            self._models.for_round(node.round, node.id),
            prompts.templates,
            session.spec,
            prompts.brief,
            session.text(node.program),
            verdict.metrics,
        )
