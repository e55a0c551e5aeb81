"""Random: every scored node with the same probability; the baseline for all other samplers."""

from __future__ import annotations

import random

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.run_state import RunState

__all__ = ["Uniform"]


class Uniform:
    """Draw nodes evenly, none twice for one design.

    Args:
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._population = Population(keep)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores and pruning."""
        self._population.apply(event, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Draw different nodes; the first is the parent."""
        ids = self._population.ids
        if not len(ids):
            return None
        drawn = rng.sample(range(len(ids)), min(1 + inspirations, len(ids)))
        return Sample(int(ids[drawn[0]]), [int(ids[at]) for at in drawn[1:]], f"random, one of {len(ids)}")
