"""Weighted: probabilities in proportion to sigmoid(λ(s − median)/MAD)/(1 + children).

As in ShinkaEvolve (arXiv 2509.19349): good nodes are preferred, and among them those with few children. MAD is the
median of |s − median|. Children are counted when a node is taken as a parent, so that rounds in flight count.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population, draw
from engine.state.run_state import RunState

__all__ = ["Weighted"]

_LARGEST_EXPONENT = 700.0
"""exp() of a larger number overflows."""


class Weighted:
    """Draw parent and inspirations by weight, none twice for one design.

    Args:
        steepness: λ, how sharply the median separates good from bad.
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, steepness: float, keep: int | None = None) -> None:
        self.steepness = steepness
        self._population = Population(keep)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores, pruning and expansions."""
        self._population.apply(event, state)

    def weights(self) -> NDArray[np.float64]:
        """Return the weight of each scored node, shape [n], worst score first; if MAD is 0, its limit."""
        scores = self._population.scores
        # The scores are sorted, so the median is at hand.
        median = scores[(len(scores) - 1) // 2] / 2.0 + scores[len(scores) // 2] / 2.0
        deviations = scores - median
        mad = float(np.median(np.abs(deviations)))
        with np.errstate(over="ignore"):
            exponents = deviations / mad * self.steepness if mad > 0.0 else np.sign(deviations) * _LARGEST_EXPONENT
        np.clip(exponents, -_LARGEST_EXPONENT, _LARGEST_EXPONENT, out=exponents)
        weights: NDArray[np.float64] = 1.0 / ((1.0 + np.exp(-exponents)) * (1.0 + self._population.counts))
        return weights

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Draw nodes by weight; the first is the parent."""
        ids = self._population.ids
        if not len(ids):
            return None
        weights = self.weights()
        drawn = draw(weights, 1 + inspirations, rng)
        chance = weights[drawn[0]] / weights.sum()
        why = f"weighted, chance {chance:.3g}, rank {len(ids) - drawn[0]}/{len(ids)}"
        return Sample(int(ids[drawn[0]]), [int(ids[at]) for at in drawn[1:]], why)
