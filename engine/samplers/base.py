"""The interface of a sampler: the policy that picks the parent and the inspirations of a design."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from engine.journal.events import Event
from engine.state.run_state import RunState

__all__ = ["Sample", "Sampler"]


@dataclass(frozen=True)
class Sample:
    """The context of a design."""

    parent: int
    inspirations: list[int]
    why: str
    """How the parent was chosen, in a few words."""
    island: int | None = None
    """The island that the parent was drawn from; None if the sampler has no islands."""


class Sampler(Protocol):
    """Pick context nodes. Its memory is a fold of the journal, and no draw loops over the population.

    To write one: keep everything that a draw needs up to date in `apply`. Read nodes from the state, not from the
    event: if a run switches to the sampler, it gets one bare `eval.done` for each node. Draw from `rng` alone.
    """

    def apply(self, event: Event, state: RunState) -> None:
        """Take in an event; called after `state` has folded it, for every event of the run in order."""

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Pick a parent and inspirations; None while no node has a score.

        Args:
            state: the run, for policies that depend on more than its nodes, such as rounds in flight, the budget that
                is left, or a standstill; read it in constant time.
            inspirations: how many at most.
            rng: the only source of chance.
        """
