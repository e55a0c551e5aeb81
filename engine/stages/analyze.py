"""Analyze: turn raw results into a note for people and a lesson for later rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.analyzer import analyze_by_rules
from engine.events import AnalyzeDone

if TYPE_CHECKING:
    from engine.loop import Engine

__all__ = ["analyze"]


async def analyze(engine: Engine, node_id: int) -> None:
    """Record the report on a node whose evaluation has ended."""
    state = engine.state
    node = state.nodes[node_id]
    parent = state.nodes[node.parents[0]] if node.parents else None
    report = analyze_by_rules(
        engine.spec,
        node,
        engine.text(node.program),
        parent,
        engine.text(parent.program) if parent is not None else "",
        state.best_node,
        engine.text(node.stderr_blob),
    )
    engine.emit(AnalyzeDone(lesson=report.lesson, note=report.note), round=node.round, node=node_id)
