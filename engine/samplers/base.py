"""What a sampler is: the policy that picks the parent and the inspirations of a design."""

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
    """The island that the parent was drawn from, where the sampler has islands."""


class Sampler(Protocol):
    """Picks context nodes. Its memory is a fold of the journal; a draw costs no loop over the population.

    To write one: keep what a draw needs up to date in `apply`, reading nodes from the state and not from the event,
    since a sampler that is taken up during a run gets one `eval.done` for each node there is. Draw from `rng` alone.
    """

    def apply(self, event: Event, state: RunState) -> None:
        """Take note of an event; called after `state` has folded it, for every event of the run in order."""

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Pick a parent and up to so many inspirations; None while no node has a score."""
