"""Analyze: turn raw results into a note for people and a lesson for later rounds."""

from __future__ import annotations

import dataclasses
import traceback
from typing import TYPE_CHECKING

from engine.analyzers.report import Report
from engine.analyzers.rules import analyze_by_rules
from engine.evaluation.curve import decode_curve
from engine.journal.events import AnalyzeDone, PriorProposed
from engine.journal.reader import sha256_of
from engine.llm.requests import Facts
from engine.settings.model import analyzes_by_model
from engine.settings.models import NO_ANALYZER

if TYPE_CHECKING:
    from engine.loop.engine import Engine
    from engine.state.node import Node

__all__ = ["analyze"]


async def analyze(engine: Engine, node_id: int) -> None:
    """Record the report on a node whose evaluation has ended."""
    state = engine.session.state
    if state.settings.roles.analyzer == NO_ANALYZER:
        engine.session.emit(
            AnalyzeDone(lesson="", analyzer=NO_ANALYZER), round=state.nodes[node_id].round, node=node_id
        )
        return
    node = state.nodes[node_id]
    parent = state.nodes[node.parents[0]] if node.parents else None
    if analyzes_by_model(state.settings):
        report = await _ask(engine, node, parent)
    else:
        report = _report(_facts(engine, node, parent), node)
    earlier = 0
    if report.proposals and node.analyzed:
        # It was measured again, and may have had proposals already.
        earlier = sum(isinstance(event.data, PriorProposed) for event in engine.session.past_of(node_id))
    proposed = [
        PriorProposed(f"node-{node_id}-{number}", proposal.title, sha256_of(proposal.body), proposal.evidence)
        for number, proposal in enumerate(report.proposals, start=earlier + 1)
    ]
    engine.session.emit(
        AnalyzeDone(lesson=report.lesson, note=report.note, analyzer=report.analyzer),
        *proposed,
        round=node.round,
        node=node_id,
        blobs=[proposal.body.encode() for proposal in report.proposals],
    )
    if proposed:
        engine.file_watch.wake()  # the base learns of them, even if the run is paused now


async def _ask(engine: Engine, node: Node, parent: Node | None) -> Report:
    """What a model says of the node."""
    from engine.analyzers.llm import analyze_by_model

    result = engine.session.last_result(node.id)
    facts = _facts(engine, node, parent)
    if result is not None:
        curve = engine.session.text(result.curve_blob)
        facts = dataclasses.replace(
            facts, stdout=engine.session.text(result.stdout_blob), curve=decode_curve(curve.encode()) if curve else ()
        )
    ask = engine.models.for_round(node.round, node.id)
    return await analyze_by_model(
        ask, engine.session.prompts, engine.session.brief, facts, engine.session.prompt_room()
    )


def _report(facts: Facts, node: Node) -> Report:
    try:
        return analyze_by_rules(facts)
    except Exception:
        # A lesson is worth less than the run: odd figures or texts of a candidate end neither.
        traceback.print_exc()
        return Report(f"{node.name}: {node.status}", "The analyzer met an error of its own; the engine's log has it.")


def _facts(engine: Engine, node: Node, parent: Node | None) -> Facts:
    return Facts(
        spec=engine.session.spec,
        node=node,
        code=engine.session.text(node.program),
        parent=parent,
        parent_code=engine.session.text(parent.program) if parent is not None else "",
        best=engine.session.state.best_node,
        stderr=engine.session.text(node.stderr_blob),
        proposed=frozenset(engine.session.state.proposed_titles),
        ranking=engine.session.state.ranking,
        noise=engine.session.state.noise,
    )
