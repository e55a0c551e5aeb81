"""Power law over ranks: P(rank r) ∝ r^(−α), r = 1 for the best.

As in ShinkaEvolve (arXiv 2509.19349). α = 0 is uniform; a large α is greedy.
"""

from __future__ import annotations

import random

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population, draw, rank_weights
from engine.state.run_state import RunState

__all__ = ["PowerLaw"]


class PowerLaw:
    """Draw parent and inspirations by rank, none twice for one design; of equal scores the newer ranks higher.

    Args:
        alpha: the exponent.
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, alpha: float, keep: int | None = None) -> None:
        self.alpha = alpha
        self._population = Population(keep)
        self._weights = rank_weights(64, alpha)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores and pruning."""
        self._population.apply(event, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Draw nodes by rank; the first is the parent."""
        ids = self._population.ids
        if not len(ids):
            return None
        # Powers are slow to compute: keep them for twice as many ranks as were ever needed.
        if len(self._weights) < len(ids):
            self._weights = rank_weights(2 * len(ids), self.alpha)
        drawn = draw(self._weights[len(self._weights) - len(ids) :], 1 + inspirations, rng)
        place = f"rank {len(ids) - drawn[0]}/{len(ids)}"
        return Sample(int(ids[drawn[0]]), [int(ids[at]) for at in drawn[1:]], f"power_law, {place}")
