"""Analyze: turn raw results into a note for people and a lesson for later rounds."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from engine.analyzers.report import Facts, Report
from engine.analyzers.rules import analyze_by_rules
from engine.events import AnalyzeDone
from engine.llm.models import NO_ANALYZER

if TYPE_CHECKING:
    from engine.loop import Engine
    from engine.state import Node

__all__ = ["analyze"]


async def analyze(engine: Engine, node_id: int) -> None:
    """Record the report on a node whose evaluation has ended."""
    state = engine.state
    if state.settings.roles.analyzer == NO_ANALYZER:
        engine.emit(AnalyzeDone(lesson="", analyzer=NO_ANALYZER), round=state.nodes[node_id].round, node=node_id)
        return
    node = state.nodes[node_id]
    parent = state.nodes[node.parents[0]] if node.parents else None
    report = _report(engine, node, parent)
    engine.emit(AnalyzeDone(lesson=report.lesson, note=report.note), round=node.round, node=node_id)


def _report(engine: Engine, node: Node, parent: Node | None) -> Report:
    try:
        return _analyze(engine, node, parent)
    except Exception:
        # A lesson is worth less than the run: odd figures or texts of a candidate end neither.
        traceback.print_exc()
        return Report(f"{node.name}: {node.status}", "The analyzer met an error of its own; the engine's log has it.")


def _analyze(engine: Engine, node: Node, parent: Node | None) -> Report:
    return analyze_by_rules(
        Facts(
            spec=engine.spec,
            node=node,
            code=engine.text(node.program),
            parent=parent,
            parent_code=engine.text(parent.program) if parent is not None else "",
            best=engine.state.best_node,
            stderr=engine.text(node.stderr_blob),
        )
    )
