"""What can be plotted, listed and sorted by: the numbers of a node, and the axes to lay them along."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from engine.state.node import Node
from engine.text import one_line
from tui.model.run_model import RunModel

__all__ = ["AXES", "Axis", "Quantity", "axis_name", "axis_value", "find_quantity", "quantities"]

Axis = Literal["node", "round", "seconds", "usd", "tokens", "objective"]
AXES: dict[Axis, str] = {
    "node": "node", "round": "round", "seconds": "engine time in s", "usd": "dollars", "tokens": "tokens",
    "objective": "the first objective",
}  # fmt: skip
"""What to lay nodes along, with its name."""

Better = Literal["", "higher", "lower"]

_OWN = frozenset(("rank", "score", "hypervolume", "change", "seconds", "tokens", "usd"))
"""Ids that are no metric's."""


class Quantity(NamedTuple):
    """A number of a node."""

    id: str
    """Its name among `quantities`; a metric's is its own, if nothing else has that."""
    label: str
    better: Better
    """Which way is better; empty if nobody said."""
    read: Callable[[Node], float | None]


def quantities(model: RunModel) -> list[Quantity]:
    """Return all quantities of a run, what ranks its nodes first."""
    ranking, spending = model.state.ranking, model.spending
    found = [Quantity("rank", one_line(ranking.name, 30), "higher" if ranking.maximize else "lower", ranking.of)]
    if ranking.by_fitness:
        better: Better = "higher" if ranking.direction == "maximize" else "lower"
        found.append(Quantity("score", one_line(ranking.metric, 30), better, lambda node: node.score))
    if model.state.settings.fitness.kind == "pareto":
        found.append(Quantity("hypervolume", "hypervolume", "higher", lambda node: node.hypervolume))
    found.append(Quantity("change", "change on its parent", "", partial(_change, model)))
    found += [
        Quantity(f"metric {name}" if name in _OWN else name, one_line(name, 30), "", partial(_metric, name))
        for name in model.metrics
        if name != ranking.metric
    ]
    found.append(Quantity("seconds", "seconds of evaluation", "", lambda node: node.seconds or None))
    if model.state.tokens:
        found += [
            Quantity("tokens", "tokens of its round", "", lambda node: spending.of_round("tokens", node.round)),
            Quantity("usd", "dollars of its round", "", lambda node: spending.of_round("usd", node.round)),
        ]
    return found


def find_quantity(model: RunModel, id_: str) -> Quantity:
    """Return the quantity of an id; what ranks the nodes if the run has no such quantity yet."""
    known = quantities(model)
    return next((quantity for quantity in known if quantity.id == id_), known[0])


def axis_value(model: RunModel, axis: Axis, node: Node) -> float | None:
    """Return a node's place on an axis; None if it has none yet."""
    if axis == "node":
        return node.id
    if axis == "objective":
        name = next(iter(model.state.settings.fitness.parts), "")
        return node.score if name == model.state.ranking.metric else _metric(name, node)
    return node.round if axis == "round" else model.spending.at_node(axis, node.id)


def axis_name(model: RunModel, axis: Axis) -> str:
    """Return what an axis is called; an objective has its own name."""
    named = next(iter(model.state.settings.fitness.parts), "") if axis == "objective" else ""
    return one_line(named, 30) or AXES[axis]


def _metric(name: str, node: Node) -> float | None:
    value = node.metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _change(model: RunModel, node: Node) -> float | None:
    """Return by how much a node is better than its parent."""
    parent = model.parent(node)
    return None if parent is None else model.state.ranking.gain(node, parent)
