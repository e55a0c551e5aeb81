"""UCB1 over ranks: argmax of rank(s)/(n−1) + c·sqrt(ln N / n_i).

Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", 2002, with the rank of a score
in the place of its mean, so that neither scale nor outliers of the scores matter. n_i = 1 + times expanded (birth
counts, and a round in flight counts as expanded), N = Σ n_i. Birth counts because "unexpanded first" makes a chain of
newest nodes, not a search.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

from engine.events import EvalDone, Event, LearnDone, NodePruned, NodeRestored
from engine.samplers.base import Sample
from engine.state import RunState

__all__ = ["UCB1"]


class UCB1:
    """Keeps scored nodes sorted by score in growing arrays, so that a draw is a few passes of numpy over them.

    Args:
        c: weight of the exploration term.
        maximize: whether a higher score is better.
    """

    def __init__(self, c: float, maximize: bool) -> None:
        self.c = c
        self._sign = 1.0 if maximize else -1.0
        self._scores: NDArray[np.float64] = np.empty(0)
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._visits: NDArray[np.float64] = np.empty(0)
        self._total = 0.0
        self._known: dict[int, float] = {}
        """The score under which each node stands."""

    def apply(self, event: Event, state: RunState) -> None:
        """Insert a node that got a score, move one that was measured again, leave out one that was pruned."""
        data = event.data
        if isinstance(data, EvalDone | NodePruned | NodeRestored) and event.node is not None:
            node = state.nodes[event.node]
            if node.id in self._known:
                self._remove(node.id)
            if node.score is not None and not node.pruned:
                self._insert(node.id, self._sign * node.score, 1.0 + node.expanded)
        elif isinstance(data, LearnDone) and data.parent in self._known:
            self._visits[self._position(data.parent)] += 1.0
            self._total += 1.0

    def _insert(self, node: int, score: float, visits: float) -> None:
        at = int(np.searchsorted(self._scores, score, side="right"))
        self._scores = np.insert(self._scores, at, score)
        self._ids = np.insert(self._ids, at, node)
        self._visits = np.insert(self._visits, at, visits)
        self._total += visits
        self._known[node] = score

    def _remove(self, node: int) -> None:
        at = self._position(node)
        self._total -= float(self._visits[at])
        self._scores = np.delete(self._scores, at)
        self._ids = np.delete(self._ids, at)
        self._visits = np.delete(self._visits, at)
        del self._known[node]

    def _position(self, node: int) -> int:
        score = self._known[node]
        first = int(np.searchsorted(self._scores, score, side="left"))
        last = int(np.searchsorted(self._scores, score, side="right"))
        return first + int(np.flatnonzero(self._ids[first:last] == node)[0])

    def values(self) -> NDArray[np.float64]:
        """The UCB value of each scored node, shape [n], worst score first; equal scores share their mean rank."""
        explore: NDArray[np.float64] = np.sqrt(math.log(self._total) / self._visits)
        explore *= self.c
        explore += self._ranks()
        return explore

    def _ranks(self) -> NDArray[np.float64]:
        """Ranks from 0 for the worst to 1 for the best, shape [n]."""
        count = len(self._scores)
        ranks = np.arange(count, dtype=np.float64)
        # Equal scores stand together: where a run of them begins and ends, their mean is half-way.
        begins = np.flatnonzero(np.diff(self._scores, prepend=-np.inf))
        if len(begins) < count:
            lengths = np.diff(begins, append=count)
            ranks = np.repeat(begins + (lengths - 1) / 2.0, lengths)
        ranks /= max(1, count - 1)
        return ranks

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """The node with the highest value, equal ones drawn; the next highest are the inspirations."""
        if not len(self._ids):
            return None
        values = self.values()
        best = np.flatnonzero(values == values.max())
        at = int(best[rng.randrange(len(best))])
        chosen = values[at]
        values[at] = -np.inf
        shown: list[int] = []
        for _ in range(min(inspirations, len(values) - 1)):
            following = int(values.argmax())
            shown.append(int(self._ids[following]))
            values[following] = -np.inf
        expanded = int(self._visits[at]) - 1
        place = f"rank {len(values) - at}/{len(values)}, expanded {expanded}×"
        return Sample(int(self._ids[at]), shown, f"ucb1 {chosen:.3f}, {place}")
