"""Greedy: the best node is the parent, the next best are the inspirations."""

from __future__ import annotations

import random

import numpy as np

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.population import Population
from engine.state.run_state import RunState

__all__ = ["Greedy"]


class Greedy:
    """Take the best nodes.

    Args:
        keep: how many nodes, the best, may be sampled; None: all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._population = Population(keep)

    def apply(self, event: Event, state: RunState) -> None:
        """Follow scores and pruning."""
        self._population.apply(event, state)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Return the best node as the parent, drawn among equals, and the best of the others."""
        scores, ids = self._population.scores, self._population.ids
        if not len(ids):
            return None
        equals = len(ids) - int(np.searchsorted(scores, scores[-1], side="left"))
        at = len(ids) - 1 - rng.randrange(equals)
        # The parent is one of the best, so the best others are among the first `inspirations` + 1.
        others = [int(node) for node in ids[-inspirations - 1 :][::-1] if node != ids[at]] if inspirations else []
        return Sample(int(ids[at]), others[:inspirations], f"greedy, best of {len(ids)}")
