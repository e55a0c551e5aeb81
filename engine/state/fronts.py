"""Fronts: nodes in layers of which each is dominated by the one before, and the hypervolume of the first.

A node that comes pushes back what it dominates, layer by layer, so that no layer is computed anew (Li, Deb, Zhang,
Suganthan and Chen, "Efficient Nondomination Level Update Method for Steady-State Evolutionary Multiobjective
Optimization", 2017). Only the first layers are kept: what comes moves others back alone, so that what has left the last
never returns.
"""

from __future__ import annotations

from engine.state.hypervolume import Point, added_volume, dominates
from engine.state.node import FrontStep, Node
from engine.state.run_state import RunState

__all__ = ["DEPTH", "arrange", "describe_front", "enter", "leave"]

DEPTH = 4
"""Layers that are kept; each costs a comparison with all its nodes for every node that comes."""


def enter(state: RunState, node: Node) -> None:
    """Put a node that was ranked into its layer, if it may be on the front.

    A node in quarantine is left out, since its metrics flatter it, one that breaks a constraint, and one whose numbers
    are too large to be ranked.
    """
    point = node.point
    if point is None or node.fitness is None or node.broken or node.quarantined:
        return
    fronts = state.fronts
    level = next((at for at, front in enumerate(fronts) if not _is_dominated(state, point, front)), len(fronts))
    if level == 0:
        added = added_volume(point, (_point(state, other) for other in (fronts[0] if fronts else ())))
        if added > 0.0:
            state.hypervolume += added
            node.hypervolume = state.hypervolume
            state.front_steps.append(FrontStep(node.id, state.hypervolume))
    moved: tuple[int, ...] = (node.id,)
    while moved and level < DEPTH:
        front = fronts[level] if level < len(fronts) else ()
        points = [_point(state, item) for item in moved]
        pushed = tuple(item for item in front if any(dominates(one, _point(state, item)) for one in points))
        kept = tuple(item for item in front if item not in set(pushed))
        fronts[level : level + 1] = [kept + moved]
        _mark(state, moved, level)
        level += 1
        if pushed and not kept:
            # A whole layer falls: it stays one, and so do all behind it.
            fronts.insert(level, pushed)
            for at in range(level, len(fronts)):
                _mark(state, fronts[at], at)
            moved = ()
        else:
            moved = pushed
    _mark(state, moved, DEPTH)
    del fronts[DEPTH:]


def leave(state: RunState, node: Node) -> None:
    """Take a node out of its layer, if it is in one; what it dominated comes forward, so that it goes through all."""
    if node.front is not None:
        arrange(state, without=node)
        state.rankings += 1


def arrange(state: RunState, without: Node | None = None) -> None:
    """Put all nodes but one into layers anew, in the order of their ids."""
    state.fronts, state.hypervolume, state.front_steps = [], 0.0, []
    for node in state.nodes:
        node.front = node.hypervolume = None
    for node in state.nodes:
        if node is not without:
            enter(state, node)


def describe_front(node: Node) -> str:
    """Return on which front a node is, and whether it raised the hypervolume; empty if it is on none."""
    if node.front is None:
        return ""
    raised = "" if node.hypervolume is None else f", raised the hypervolume to {node.hypervolume:.6g}"
    return f"front {node.front}{raised}"


def _point(state: RunState, node: int) -> Point:
    point = state.nodes[node].point
    assert point is not None
    return point


def _is_dominated(state: RunState, point: Point, front: tuple[int, ...]) -> bool:
    return any(dominates(_point(state, item), point) for item in front)


def _mark(state: RunState, nodes: tuple[int, ...], level: int) -> None:
    for item in nodes:
        state.nodes[item].front = level + 1 if level < DEPTH else None
