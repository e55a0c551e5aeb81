"""What choices brought in a run, and which one to take next by that."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Credit", "choose_ucb"]

_EXPLORE = 0.5
"""Weight of the exploration term."""


class Credit(msgspec.Struct, gc=False):
    """What one choice brought."""

    chosen: int = 0
    """How often it was taken."""
    tries: int = 0
    """Evaluations under it."""
    gain: float = 0.0
    """Sum of what new bests under it gained in fitness."""

    @property
    def rate(self) -> float:
        """Gain per evaluation."""
        return self.gain / self.tries if self.tries else 0.0


def choose_ucb(credits: Mapping[str, Credit], arms: Sequence[str], rng: random.Random) -> str:
    """Return an arm that was never taken, drawn evenly, else the one with the highest upper confidence bound.

    UCB1, argmax of x_j + sqrt(2 ln n / n_j), from Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the
    Multiarmed Bandit Problem", Machine Learning 47, 2002. x_j is the gain per evaluation as a share of the best arm's,
    so that the scale of scores does not matter, n_j how often the arm was taken, and the second term weighs half,
    since a run has few choices to make.

    Args:
        credits: what arms brought; an arm that is missing was never taken.
        arms: those to choose from, at least one.
        rng: draws among equals.
    """
    known = [credits.get(arm, Credit()) for arm in arms]
    fresh = [arm for arm, credit in zip(arms, known, strict=True) if not credit.chosen]
    if fresh:
        return rng.choice(fresh)
    top = max(credit.rate for credit in known) or 1.0
    total = sum(credit.chosen for credit in known)
    values = [credit.rate / top + _EXPLORE * math.sqrt(2.0 * math.log(total) / credit.chosen) for credit in known]
    best = max(values)
    return rng.choice([arm for arm, value in zip(arms, values, strict=True) if value == best])
