"""UCB1 over ranks: argmax of rank(s)/(n−1) + c·sqrt(ln N / n_i).

Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", 2002, with the rank of a score
instead of its mean, so that neither scale nor outliers of the scores matter. n_i = 1 + times expanded (birth counts,
and a round in flight counts as expanded), N = Σ n_i. Birth counts because "unexpanded first" yields a chain of newest
nodes, not a search.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.run_state import RunState

__all__ = ["UCB1"]


class UCB1:
    """Take the node with the highest upper confidence bound.

    Args:
        c: weight of the exploration term.
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, c: float, keep: int | None = None) -> None:
        self.c = c
        self._population = Population(keep)

    def apply(self, event: Event, state: RunState) -> None:
        """Insert a newly scored node, move a node that was measured again, remove a pruned one."""
        self._population.apply(event, state)

    def values(self) -> NDArray[np.float64]:
        """Return the UCB value of each scored node, shape [n], worst score first; equals share their mean rank."""
        visits = self._population.counts + 1.0
        explore: NDArray[np.float64] = np.sqrt(math.log(np.add.reduce(visits)) / visits)
        explore *= self.c
        explore += self._population.ranks()
        return explore

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Return the node with the highest value, drawn among equals, and the next highest as inspirations."""
        ids = self._population.ids
        if not len(ids):
            return None
        values = self.values()
        best = (values == np.maximum.reduce(values)).nonzero()[0]
        at = int(best[rng.randrange(len(best))])
        chosen = values[at]
        values[at] = -np.inf
        shown: list[int] = []
        for _ in range(min(inspirations, len(values) - 1)):
            following = int(values.argmax())
            shown.append(int(ids[following]))
            values[following] = -np.inf
        expanded = int(self._population.counts[at])
        place = f"rank {len(values) - at}/{len(values)}, expanded {expanded}×"
        return Sample(int(ids[at]), shown, f"ucb1 {chosen:.3f}, {place}")
