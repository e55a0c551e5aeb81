"""What each kind of idea gained: sums over the nodes of an operator, a prior or a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from engine.state.node import Node
from tui.model.run_model import RunModel

__all__ = ["KINDS", "Kind", "KindSums", "kinds_of", "sums_by"]

KINDS = ("operator", "prior", "model")
"""What nodes are grouped by."""

Kind = Callable[[RunModel, Node], Iterable[str]]


@dataclass
class KindSums:
    """Sums over the nodes of one kind; a node of two priors counts for both."""

    nodes: int = 0
    fine: int = 0
    """How many ran to their end with a score."""
    better: int = 0
    """How many were better than their parents by more than the noise."""
    bests: int = 0
    """How many were a new best."""
    gain: float = 0.0
    """By how much these raised the best."""
    over_parent: float = 0.0
    """The sum of the changes on their parents, for a mean."""
    compared: int = 0
    """How many have a change on their parent."""
    seconds: float = 0.0
    """Of their evaluations."""
    newest: tuple[int, ...] = ()
    """The last few of its nodes that were better than their parents."""


def kinds_of(model: RunModel, node: Node, by: str) -> Iterable[str]:
    """Return the operator, the priors or the model of a node; nothing if it has none."""
    if by == "operator":
        return (node.operator,)
    if by == "prior":
        return node.priors
    name = model.spending.model_of(node)
    return () if name is None else (name,)


def sums_by(model: RunModel, by: str, passes: Callable[[Node], bool] = lambda node: True) -> dict[str, KindSums]:
    """Return the sums by kind, the most frequent first; O(nodes), so call it when somebody asks.

    Args:
        model: the run.
        by: one of `KINDS`.
        passes: which nodes count.
    """
    ranking, state = model.state.ranking, model.state
    gains: dict[int, float] = {}
    for before, step in pairwise(state.best_steps):
        gain = ranking.gain(step, before)
        if gain is not None:
            gains[step.node] = gains.get(step.node, 0.0) + gain
    crowned = {step.node for step in state.best_steps}
    found: dict[str, KindSums] = {}
    for node in state.nodes:
        if not passes(node):
            continue
        parent = model.parent(node)
        change = ranking.gain(node, parent) if parent is not None else None
        for name in kinds_of(model, node, by):
            sums = found.setdefault(name, KindSums())
            sums.nodes += 1
            sums.fine += node.status == "ok"
            sums.bests += node.id in crowned
            sums.gain += gains.get(node.id, 0.0)
            sums.seconds += node.seconds
            if change is not None:
                sums.compared += 1
                sums.over_parent += change
                if change > state.noise:
                    sums.better += 1
                    sums.newest = (*sums.newest[-5:], node.id)
    return dict(sorted(found.items(), key=lambda item: -item[1].nodes))
