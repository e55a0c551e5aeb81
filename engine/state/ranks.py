"""Keep what nodes are ranked by, and their order, up to date."""

from __future__ import annotations

from bisect import bisect_left, insort

from engine.settings.constraints import names_seed
from engine.state.fronts import arrange, enter, leave
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.state.standstill import rescale
from engine.state.verification import cap_of

__all__ = ["rank_all", "rank_measured"]


def rank_measured(state: RunState, node: Node) -> None:
    """Rank a node that was measured, and all others if they are ranked against it."""
    fitness = state.settings.fitness
    if node.id == 0 and (fitness.kind != "score" or names_seed(fitness.require)):
        rank_all(state)
    else:
        _rank_one(state, node)


def _rank_one(state: RunState, node: Node) -> None:
    if node.fitness is not None and not node.broken:
        del state.ranked[bisect_left(state.ranked, node.fitness)]
    leave(state, node)
    node.hypervolume = None
    _weigh(state, node)
    node.cap = cap_of(state, node)
    enter(state, node)
    if node.fitness is not None and not node.broken:
        insort(state.ranked, node.fitness)


def rank_all(state: RunState) -> None:
    """Rank all nodes anew: the settings or the baseline changed."""
    state.rankings += 1
    for node in state.nodes:
        _weigh(state, node)
    for node in state.nodes:
        # Those that were ranked before the node that they are held below.
        node.cap = cap_of(state, node)
    arrange(state)
    state.ranked = sorted(node.fitness for node in state.nodes if node.fitness is not None and not node.broken)
    state.best_steps = [step._replace(fitness=state.nodes[step.node].fitness) for step in state.best_steps]
    rescale(state)


def _weigh(state: RunState, node: Node) -> None:
    """Set the fitness of a node, its place among objectives, and which constraints it breaks."""
    node.fitness = state.fitness(node.id, node.score, node.metrics, node.judge)
    node.point = state.point(node.id, node.score, node.metrics)
    breach = state.breach(node.id, node.score, node.metrics)
    node.broken = "" if breach is None else breach.reason
