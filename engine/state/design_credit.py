"""Credit a design that was measured to the model and the way of writing that it came from."""

from __future__ import annotations

from engine.state.bandit import DesignRecord
from engine.state.model_record import ModelRecord
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["count_design"]


def count_design(state: RunState, node: Node) -> None:
    """Count a design that was measured for the first time.

    It gains if it stands by more than noise above the best of its parents. What mends a failure has none that stands
    anywhere: it gains if it is above what the failed one was made from, else to make it run would be all that counts.
    """
    round_ = state.open_rounds.get(node.round)
    records: list[DesignRecord] = []
    if node.model:
        records.append(state.models.setdefault(node.model, ModelRecord()))
    if round_ is not None and round_.learned is not None:
        records.append(state.modes.setdefault(round_.learned.mode, DesignRecord()))
    if not records or not node.parents:
        return
    base = _base_of(state, node)
    gained = state.gained(node.id, base.id)
    gain = 0.0
    if gained and base.standing is not None and node.standing is not None:
        gain = min(node.standing - base.standing, 1e300)
    for record in records:
        record.designs += 1
        record.gained += gained
        record.gain += gain


def _base_of(state: RunState, node: Node) -> Node:
    """Return what a design must stand above; as many steps as mends in a row failed."""
    ranked = [state.nodes[parent] for parent in node.parents if state.nodes[parent].standing is not None]
    if ranked:
        return max(ranked, key=lambda parent: parent.standing or 0.0)
    base = state.nodes[node.parents[0]]
    while base.standing is None and base.parents:
        base = state.nodes[base.parents[0]]
    return base
