"""Nodes that are worth a closer look: new bests, failures, large losses."""

from __future__ import annotations

from itertools import islice
from statistics import median

from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["is_surprise"]

_NEWEST = 50
"""Nodes whose changes say what is usual."""
_LARGE = 2.0
"""A loss is large from so many times the usual change on."""


def is_surprise(state: RunState, node: Node) -> bool:
    """Tell whether a measured node is the best now, failed, or lost far more than changes usually come to."""
    if node.round == 0:
        return False
    if node.status != "ok" or state.best == node.id:
        return True
    change = _change(state, node)
    if change is None:
        return node.fitness is None
    if change >= -state.noise:
        return False
    newest = (other for other in islice(reversed(state.nodes), _NEWEST) if other.id != node.id)
    usual = [abs(found) for other in newest if (found := _change(state, other)) is not None]
    return not usual or -change > _LARGE * median(usual)


def _change(state: RunState, node: Node) -> float | None:
    """Return the change in fitness against the parent; None if there is no such number."""
    before = state.nodes[node.parents[0]].fitness if node.parents else None
    return None if before is None or node.fitness is None else node.fitness - before
