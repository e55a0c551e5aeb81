"""NSGA-II: binary tournaments by the rank of a node's front, then by crowding distance.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", 2002. The fronts are
those of the run's state; the population is the best `keep` nodes of all that were measured, by the same order, which is
the paper's survival with elitism and one child at a time. Nodes on no front that is kept come behind, by their fitness;
where the score alone ranks these are all, and a tournament is won by the better score.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.run_state import RunState

__all__ = ["NSGA2", "crowding_distances"]


class NSGA2:
    """Draw two nodes for each place; the one on the better front wins, of equals the one in less of a crowd.

    Args:
        keep: size of the population; None: all nodes.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._population = Population()

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores and pruning; fronts are read from the state."""
        self._population.apply(event, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Return the winner of a tournament, and the winners of further ones without it as inspirations."""
        ids, ranks, crowding = self._ordered(state)
        if not len(ids):
            return None
        left = list(range(len(ids)))
        won: list[int] = []
        for _ in range(min(1 + inspirations, len(left))):
            one, other = (rng.randrange(len(left)) for _ in range(2))
            better = min((one, other), key=lambda at: (ranks[left[at]], -crowding[left[at]]))
            won.append(left.pop(better))
        parent = int(ids[won[0]])
        front = state.nodes[parent].front
        where = "by fitness" if front is None else f"front {front}, {len(state.fronts[front - 1])} on it"
        distance = f", crowding {crowding[won[0]]:.3g}" if front is not None else ""
        why = f"nsga2, {where}{distance}, expanded {state.nodes[parent].expanded}×"
        return Sample(parent, [int(ids[at]) for at in won[1:]], why)

    def _ordered(self, state: RunState) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the population, best first: ids, ranks of their fronts, crowding distances, each of shape [n]."""
        ids, ranks, crowding = [], [], []
        found = 0
        for level, front in enumerate(state.fronts):
            if self._keep is not None and found >= self._keep:
                break
            members = [node for node in front if not state.nodes[node].pruned]
            distances = crowding_distances(np.array([state.nodes[node].point for node in members], dtype=np.float64))
            order = np.lexsort((np.array(members, dtype=np.int64), -distances))
            ids.append(np.array(members, dtype=np.int64)[order])
            ranks.append(np.full(len(members), level, dtype=np.int64))
            crowding.append(distances[order])
            found += len(members)
        others, scores = self._population.ids[::-1], self._population.scores[::-1]
        if ids:
            behind = ~np.isin(others, np.concatenate(ids))
            others, scores = others[behind], scores[behind]
        steps = np.concatenate([[0], (scores[1:] != scores[:-1]).cumsum()])[: len(others)]
        ids.append(others)
        ranks.append(len(state.fronts) + steps.astype(np.int64))
        crowding.append(np.zeros(len(others)))
        return (
            np.concatenate(ids)[: self._keep],
            np.concatenate(ranks)[: self._keep],
            np.concatenate(crowding)[: self._keep],
        )


def crowding_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the crowding distance of each point of a front, shape [n]; infinite for the ends of each objective.

    Args:
        points: shape [n, objectives].
    """
    count = len(points)
    distances = np.zeros(count)
    if count < 3:
        return np.full(count, np.inf)
    for values in points.T:
        order = values.argsort(kind="stable")
        ordered = values[order]
        span = ordered[-1] - ordered[0]
        distances[order[[0, -1]]] = np.inf
        if span > 0.0:
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distances
