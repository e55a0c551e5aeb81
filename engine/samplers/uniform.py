"""Random: every scored node with the same chance. What any other sampler must beat."""

from __future__ import annotations

import random

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.run_state import RunState

__all__ = ["Uniform"]


class Uniform:
    """Takes nodes evenly, none twice for the same design.

    Args:
        keep: at most so many nodes, the best, are sampled; None samples all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._population = Population(keep)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores and pruning."""
        self._population.apply(event, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """So many different nodes; the first is the parent."""
        ids = self._population.ids
        if not len(ids):
            return None
        drawn = rng.sample(range(len(ids)), min(1 + inspirations, len(ids)))
        return Sample(int(ids[drawn[0]]), [int(ids[at]) for at in drawn[1:]], f"random, one of {len(ids)}")
