"""The line over a plot's dots: the best so far, the hypervolume so far, or the front between two objectives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from engine.state.node import FrontStep
from tui.model.plot import Improvement
from tui.model.quantities import Axis, Quantity, axis_value
from tui.model.run_model import RunModel

__all__ = ["has_line", "height_of", "improvements", "line_told"]


def has_line(model: RunModel, quantity: Quantity, axis: Axis) -> bool:
    """Return whether a plot has a line: of what ranks nodes, or of the front along one of two objectives."""
    parts = model.state.settings.fitness.parts
    return quantity.id == "rank" if axis != "objective" else len(parts) == 2 and quantity.label in parts


def line_told(model: RunModel, quantity: Quantity, axis: Axis) -> str:
    """Return what the line is, if it is not the best so far."""
    if model.state.settings.fitness.kind != "pareto" or not has_line(model, quantity, axis):
        return ""
    return ", line: the front" if axis == "objective" else ", line: hypervolume"


def improvements(model: RunModel, quantity: Quantity, axis: Axis) -> Sequence[Improvement]:
    """Return the steps of the line: new bests, rises of the hypervolume, or nodes of the front."""
    state = model.state
    if axis == "objective":
        return _front(model, quantity) if has_line(model, quantity, axis) else ()
    return state.front_steps if state.settings.fitness.kind == "pareto" else state.best_steps


def height_of(model: RunModel, step: Improvement) -> float | None:
    """Return the height of the line from a step on."""
    return step.hypervolume if isinstance(step, FrontStep) else model.state.ranking.of(step)


def _front(model: RunModel, quantity: Quantity) -> list[FrontStep]:
    """Return the edge of what the front dominates, from the lowest value of the axis' objective to the highest."""
    state = model.state
    front = [state.nodes[node] for node in (state.fronts[0] if state.fronts else ())]
    placed = sorted(
        (axis_value(model, "objective", node) or 0.0, quantity.read(node) or 0.0, node.id) for node in front
    )
    first = next(iter(state.settings.fitness.parts.values()))
    if first.direction == "minimize":
        return [FrontStep(node, value) for _, value, node in placed]
    # Up to a node the edge lies at its height.
    return [
        *(FrontStep(one[2], other[1]) for one, other in pairwise(placed)),
        *(FrontStep(node, value) for _, value, node in placed[-1:]),
    ]
