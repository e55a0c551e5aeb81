"""Analyze: turn raw results into a note for people and a lesson for later rounds."""

from __future__ import annotations

import asyncio
import dataclasses
import traceback
from collections.abc import Sequence

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
from engine.state.surprise import is_surprise

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
        self._marked: dict[int, tuple[Node | None, float]] = {}

    async def run(self, node_id: int) -> None:
        """Record the report on a node whose evaluation has ended, and the priors that it proposes.

        Raises:
            Stopping: the engine is ending; the node is analyzed at the next start.
        """
        self.record(node_id, await self.report(node_id))

    def mark(self, node_id: int) -> None:
        """Keep what the report on a node is to compare it with: the best node and the noise of now.

        Whenever the report is asked for, later experiments then change nothing in it.
        """
        state = self._session.state
        self._marked[node_id] = (state.best_node, state.noise)

    def asks_model(self, node_id: int) -> bool:
        """Tell whether a model is asked for the report on a node."""
        state = self._session.state
        node = state.nodes[node_id]
        # Of a program that behaves the same as its parent there is nothing that a model could report.
        if not analyzes_by_model(state.settings) or node.same_as is not None or node.taken_from is not None:
            return False
        return state.settings.analyzer.only == "all" or is_surprise(state, node)

    async def let_designs_go_first(self, answered: asyncio.Event) -> None:
        """Wait until a request that was begun before has surely reached its endpoint.

        Args:
            answered: set once its answer is there, which ends the wait.

        Raises:
            Stopping: the engine is ending.
        """
        await self._models.give_way(answered)

    async def report(self, node_id: int) -> Report:
        """Return the report on a node whose evaluation has ended.

        Raises:
            Stopping: the engine is ending.
        """
        node = self._session.state.nodes[node_id]
        if self._session.state.settings.roles.analyzer == NO_ANALYZER:
            return Report("", "", NO_ANALYZER)
        if self.asks_model(node_id):
            return await self._ask(node)
        return _analyze_by_rules(self._facts(node), node)

    def record(self, node_id: int, report: Report) -> None:
        """Record the report on a node, and the priors that it proposes."""
        session = self._session
        self._marked.pop(node_id, None)
        node = session.state.nodes[node_id]
        earlier = 0
        if report.proposals and node.analyzed:
            # It was measured again, and may have had proposals already.
            earlier = sum(isinstance(event.data, PriorProposed) for event in session.past_of(node_id))
        proposed = [
            PriorProposed(f"node-{node_id}-{number}", proposal.title, sha256_of(proposal.body), proposal.evidence)
            for number, proposal in enumerate(report.proposals, start=earlier + 1)
        ]
        session.emit(
            AnalyzeDone(
                lesson=report.lesson,
                note=report.note,
                analyzer=report.analyzer,
                causes=list(report.causes),
                next_step=report.next_step,
            ),
            *proposed,
            round=node.round,
            node=node_id,
            blobs=[proposal.body.encode() for proposal in report.proposals],
        )

    async def reports(self, node_ids: Sequence[int]) -> list[Report]:
        """Return the reports of a model on several nodes, which it is asked for with one call.

        Raises:
            Stopping: the engine is ending.
        """
        from engine.analyzers.batch import analyze_batch

        nodes = [self._session.state.nodes[node_id] for node_id in node_ids]
        if len(nodes) == 1:
            return [await self._ask(nodes[0])]
        prompts = self._prompts
        facts = [self._all_facts(node) for node in nodes]
        return await analyze_batch(
            lambda one: self._models.for_round(one.node.round, one.node.id), prompts.templates, prompts.brief, facts
        )

    async def _ask(self, node: Node) -> Report:
        """Return the report of a model."""
        from engine.analyzers.llm import analyze_by_model

        ask, prompts = self._models.for_round(node.round, node.id), self._prompts
        return await analyze_by_model(ask, prompts.templates, prompts.brief, self._all_facts(node))

    def _all_facts(self, node: Node) -> Facts:
        """Return the facts with what the evaluation printed and reported."""
        session = self._session
        result = session.last_result(node.id)
        facts = self._facts(node)
        if result is not None:
            curve = session.text(result.curve_blob)
            facts = dataclasses.replace(
                facts, stdout=session.text(result.stdout_blob), curve=decode_curve(curve.encode()) if curve else ()
            )
        return facts

    def _facts(self, node: Node) -> Facts:
        session, state = self._session, self._session.state
        parent = state.nodes[node.parents[0]] if node.parents else None
        best, noise = self._marked.get(node.id) or (state.best_node, state.noise)
        return Facts(
            spec=session.spec,
            node=node,
            code=session.text(node.program),
            parent=parent,
            parent_code=session.text(parent.program) if parent is not None else "",
            best=best,
            stderr=session.text(node.stderr_blob),
            feedback=session.text(node.feedback_blob),
            proposed=frozenset(state.proposed_titles),
            ranking=state.ranking,
            noise=noise,
        )


def _analyze_by_rules(facts: Facts, node: Node) -> Report:
    try:
        return analyze_by_rules(facts)
    except Exception:
        # A lesson is worth less than the run: odd figures or texts of a candidate end neither.
        traceback.print_exc()
        return Report(f"{node.name}: {node.status}", "The analyzer met an error of its own; the engine's log has it.")
