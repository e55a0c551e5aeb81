"""Analyze: turn raw results into a note for people and a lesson for later rounds."""

from __future__ import annotations

import dataclasses
import traceback

from engine.analyzers.report import Report
from engine.analyzers.rules import analyze_by_rules
from engine.evaluation.curve import decode_curve
from engine.journal.database import sha256_of
from engine.journal.events import AnalyzeDone, PriorProposed
from engine.llm.requests import Facts
from engine.loop.models import ModelGateway
from engine.loop.session import RunSession
from engine.loop.task_prompts import TaskPrompts
from engine.settings.model import analyzes_by_model
from engine.settings.models import NO_ANALYZER
from engine.state.node import Node

__all__ = ["Analyze"]


class Analyze:
    """The analyze stage.

    Args:
        session: the run.
        models: ask models on behalf of nodes.
        prompts: what prompts are built from.
    """

    def __init__(self, session: RunSession, models: ModelGateway, prompts: TaskPrompts) -> None:
        self._session, self._models, self._prompts = session, models, prompts

    async def run(self, node_id: int) -> None:
        """Record the report on a node whose evaluation has ended, and the priors that it proposes.

        Raises:
            Stopping: the engine is ending; the node is analyzed at the next start.
        """
        session = self._session
        node = session.state.nodes[node_id]
        if session.state.settings.roles.analyzer == NO_ANALYZER:
            session.emit(AnalyzeDone(lesson="", analyzer=NO_ANALYZER), round=node.round, node=node_id)
            return
        if analyzes_by_model(session.state.settings):
            report = await self._ask(node)
        else:
            report = _analyze_by_rules(self._facts(node), node)
        earlier = 0
        if report.proposals and node.analyzed:
            # It was measured again, and may have had proposals already.
            earlier = sum(isinstance(event.data, PriorProposed) for event in session.past_of(node_id))
        proposed = [
            PriorProposed(f"node-{node_id}-{number}", proposal.title, sha256_of(proposal.body), proposal.evidence)
            for number, proposal in enumerate(report.proposals, start=earlier + 1)
        ]
        session.emit(
            AnalyzeDone(lesson=report.lesson, note=report.note, analyzer=report.analyzer),
            *proposed,
            round=node.round,
            node=node_id,
            blobs=[proposal.body.encode() for proposal in report.proposals],
        )

    async def _ask(self, node: Node) -> Report:
        """Return the report of a model."""
        from engine.analyzers.llm import analyze_by_model

        session, prompts = self._session, self._prompts
        result = session.last_result(node.id)
        facts = self._facts(node)
        if result is not None:
            curve = session.text(result.curve_blob)
            facts = dataclasses.replace(
                facts, stdout=session.text(result.stdout_blob), curve=decode_curve(curve.encode()) if curve else ()
            )
        ask = self._models.for_round(node.round, node.id)
        return await analyze_by_model(ask, prompts.templates, prompts.brief, facts, prompts.room())

    def _facts(self, node: Node) -> Facts:
        session, state = self._session, self._session.state
        parent = state.nodes[node.parents[0]] if node.parents else None
        return Facts(
            spec=session.spec,
            node=node,
            code=session.text(node.program),
            parent=parent,
            parent_code=session.text(parent.program) if parent is not None else "",
            best=state.best_node,
            stderr=session.text(node.stderr_blob),
            proposed=frozenset(state.proposed_titles),
            ranking=state.ranking,
            noise=state.noise,
        )


def _analyze_by_rules(facts: Facts, node: Node) -> Report:
    try:
        return analyze_by_rules(facts)
    except Exception:
        # A lesson is worth less than the run: odd figures or texts of a candidate end neither.
        traceback.print_exc()
        return Report(f"{node.name}: {node.status}", "The analyzer met an error of its own; the engine's log has it.")
