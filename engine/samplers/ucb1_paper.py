"""UCB1 as ASI-Evolve published it: argmax of (s − min)/(max − min) + 1.414·sqrt(ln N / n_i).

arXiv 2603.29640, section 5.2. n_i is how often a node was shown to a design, as the parent or beside it, and a node
that was never shown comes before all others, oldest first. It is for comparison with the paper: it visits all nodes in
their order before it searches, and one outlier among the scores flattens the first term.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["PaperUCB1"]

_C = 1.414


def _shown(node: Node) -> int:
    return node.shown


class PaperUCB1:
    """Take the nodes with the highest values: the first is the parent; all of them are shown and counted.

    Args:
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._population = Population(keep, _shown)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores, pruning, and which nodes were shown."""
        self._population.apply(event, state)

    def values(self) -> NDArray[np.float64]:
        """Return the value of each scored node, shape [n], worst score first; infinity if it was never shown."""
        scores, visits = self._population.scores, self._population.counts
        # Halves, since the difference of two very large scores would overflow.
        spread = float(scores[-1] / 2 - scores[0] / 2)
        values: NDArray[np.float64] = (scores / 2 - scores[0] / 2) / spread if spread > 0 else np.zeros(len(scores))
        total = float(visits.sum())
        seen = visits > 0.0
        values[seen] += _C * np.sqrt(math.log(max(total, 1.0)) / visits[seen])
        values[~seen] = np.inf
        return values

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Return the nodes with the highest values, the oldest first among equals; `rng` is not used."""
        ids = self._population.ids
        if not len(ids):
            return None
        values = self.values()
        chosen: list[int] = []
        shown: list[int] = []
        for _ in range(min(1 + inspirations, len(values))):
            best = np.flatnonzero(values == values.max())
            at = int(best[ids[best].argmin()])
            chosen.append(at)
            shown.append(int(ids[at]))
            value = values[at]
            if len(shown) == 1:
                why = f"ucb1_paper {value:.3f}" if math.isfinite(value) else "ucb1_paper, never shown before"
            values[at] = -np.inf
        return Sample(shown[0], shown[1:], why)
