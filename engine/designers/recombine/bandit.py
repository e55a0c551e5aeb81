"""Choose the next operator, recipe or constant to try: Thompson sampling on fading counts of gains.

Every arm has a Beta posterior over the probability that using it gains over the parent (Thompson, "On the likelihood
that one unknown probability exceeds another in view of the evidence of two samples", Biometrika 1933). One draw per
arm, and the highest wins: this needs no total count, and tolerates rounds in flight with unknown outcomes. Counts fade,
because an edit that helps a bad program may no longer help a good one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

__all__ = ["BANDITS", "Bandit", "Even", "Frozen", "Steps"]

_ARMS_KEPT = 4096
_RECALLED = 6.0
"""The largest weight of a recipe's outcomes in earlier runs, in outcomes of this run."""


class Bandit:
    """Fading counts of gains and failures by arm.

    Args:
        fade: the factor on an arm's counts at each further outcome of that arm.
        priors: initial gains and failures of arms that have their own.
    """

    _PRIOR = (1.0, 2.0)

    def __init__(self, fade: float = 0.95, priors: Mapping[str, tuple[float, float]] | None = None) -> None:
        self._fade = fade
        self._priors = dict(priors or {})
        self._counts: dict[str, tuple[float, float]] = {}
        self._recalled: dict[str, tuple[float, float]] = {}

    def recall(self, outcomes: Mapping[str, tuple[int, int]]) -> None:
        """Start recipes with their outcomes in earlier runs, which weigh at most a few outcomes and fade alike.

        Args:
            outcomes: gains and failures by the id of a recipe's prior.
        """
        for prior, (gains, failures) in outcomes.items():
            share = min(1.0, _RECALLED / max(1, gains + failures))
            self._recalled[prior] = (gains * share, failures * share)

    def choose(self, arms: Sequence[str], rng: random.Random) -> str:
        """Draw a probability for each arm and return the arm with the highest."""
        drawn = [rng.betavariate(*self._posterior(arm)) for arm in arms]
        return arms[drawn.index(max(drawn))]

    def chance(self, arm: str) -> float:
        """Return the expected probability of a gain."""
        hope, doubt = self._posterior(arm)
        return hope / (hope + doubt)

    def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
        """Record an outcome.

        Args:
            arm: the arm that was used.
            gained: whether the program gained over its parent.
            share: this arm's share of the outcome, 0 to 1.
        """
        gains, failures = self._counts.get(arm) or self._start(arm)
        gains, failures = gains * self._fade, failures * self._fade
        self._counts.pop(arm, None)
        # Removed and set again, so that the first arm in the dictionary is the least recently used.
        self._counts[arm] = (gains + share, failures) if gained else (gains, failures + share)
        if len(self._counts) > _ARMS_KEPT:
            del self._counts[next(iter(self._counts))]

    def _posterior(self, arm: str) -> tuple[float, float]:
        gains, failures = self._counts.get(arm) or self._start(arm)
        hope, doubt = self._priors.get(arm, self._PRIOR)
        return gains + hope, failures + doubt

    def _start(self, arm: str) -> tuple[float, float]:
        """Return the counts of an unused arm; `swap/FUNCTION/PRIOR#2` is the second recipe of a prior."""
        if arm.count("/") < 2 or not arm.startswith(("swap/", "drop/")):
            return 0.0, 0.0
        return self._recalled.get(arm.rsplit("/", 1)[1].partition("#")[0], (0.0, 0.0))


class Frozen(Bandit):
    """A control: draw by the initial counts and never learn."""

    def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
        """Do nothing."""

    def recall(self, outcomes: Mapping[str, tuple[int, int]]) -> None:
        """Do nothing."""


class Even(Frozen):
    """Another control: draw uniformly."""

    def choose(self, arms: Sequence[str], rng: random.Random) -> str:
        """Return a random arm."""
        return rng.choice(arms)


BANDITS: dict[str, type[Bandit]] = {"learning": Bandit, "frozen": Frozen, "even": Even}
"""Bandits by their names in the settings."""


class Steps:
    """Step sizes of scale constants, in natural logarithms: longer after a gain, shorter otherwise.

    This is the one-fifth success rule (Rechenberg, "Evolutionsstrategie", 1973): growth and shrinkage balance there.
    """

    _FIRST = 0.35
    _SHORTEST = 0.02
    _LONGEST = math.log(10)
    _GROWTH = 1.5

    def __init__(self) -> None:
        self._sizes: dict[str, float] = {}

    def size(self, name: str) -> float:
        """Return the step size for a constant."""
        return self._sizes.get(name, self._FIRST)

    def learn(self, name: str, gained: bool) -> None:
        """Record an outcome."""
        factor = self._GROWTH if gained else self._GROWTH**-0.25
        size = min(self._LONGEST, max(self._SHORTEST, self._sizes.pop(name, self._FIRST) * factor))
        self._sizes[name] = size
        if len(self._sizes) > _ARMS_KEPT:
            del self._sizes[next(iter(self._sizes))]
