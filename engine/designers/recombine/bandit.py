"""Which operator, recipe or constant to try next: Thompson sampling on fading counts of gains.

Every arm has a Beta posterior over the chance that using it gains over the parent (Thompson, "On the likelihood that
one unknown probability exceeds another in view of the evidence of two samples", Biometrika 1933). A draw per arm and
the highest wins: that needs no total count, and rounds in flight whose outcome is not known yet do no harm. Counts
fade, because what helps a bad program no longer helps a good one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

__all__ = ["BANDITS", "Bandit", "Even", "Frozen", "Steps"]

_ARMS_KEPT = 4096
_RECALLED = 6.0
"""What a recipe's outcomes in earlier runs weigh at most, in outcomes of this one."""


class Bandit:
    """Fading counts of gains and failures by arm.

    Args:
        fade: what is left of an arm's counts after one more outcome of that arm.
        priors: gains and failures that an arm is taken to have had before its first use, for arms with opinions of
            their own.
    """

    _PRIOR = (1.0, 2.0)

    def __init__(self, fade: float = 0.95, priors: Mapping[str, tuple[float, float]] | None = None) -> None:
        self._fade = fade
        self._priors = dict(priors or {})
        self._counts: dict[str, tuple[float, float]] = {}
        self._recalled: dict[str, tuple[float, float]] = {}

    def recall(self, outcomes: Mapping[str, tuple[int, int]]) -> None:
        """Begin with what came of recipes in earlier runs, weighing no more than a few outcomes and fading as these do.

        Args:
            outcomes: gains and failures by the id of the prior that a recipe stands in.
        """
        for prior, (gains, failures) in outcomes.items():
            share = min(1.0, _RECALLED / max(1, gains + failures))
            self._recalled[prior] = (gains * share, failures * share)

    def choose(self, arms: Sequence[str], rng: random.Random) -> str:
        """Draw a chance for each arm and take the arm with the highest."""
        return max(arms, key=lambda arm: self._draw(arm, rng))

    def chance(self, arm: str) -> float:
        """The expected chance of a gain."""
        hope, doubt = self._posterior(arm)
        return hope / (hope + doubt)

    def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
        """Take note of an outcome.

        Args:
            arm: what was used.
            gained: whether the program gained over its parent.
            share: how much of the outcome is this arm's doing, 0 to 1.
        """
        gains, failures = self._counts.get(arm) or self._start(arm)
        gains, failures = gains * self._fade, failures * self._fade
        self._counts.pop(arm, None)
        # Popped and set again: the oldest in the dictionary is the one not used for the longest time.
        self._counts[arm] = (gains + share, failures) if gained else (gains, failures + share)
        if len(self._counts) > _ARMS_KEPT:
            del self._counts[next(iter(self._counts))]

    def _draw(self, arm: str, rng: random.Random) -> float:
        return rng.betavariate(*self._posterior(arm))

    def _posterior(self, arm: str) -> tuple[float, float]:
        gains, failures = self._counts.get(arm) or self._start(arm)
        hope, doubt = self._priors.get(arm, self._PRIOR)
        return gains + hope, failures + doubt

    def _start(self, arm: str) -> tuple[float, float]:
        """Counts of an arm that has not been used; `swap/what/prior#2` is the second recipe of a prior."""
        if arm.count("/") < 2 or not arm.startswith(("swap/", "drop/")):
            return 0.0, 0.0
        return self._recalled.get(arm.rsplit("/", 1)[1].partition("#")[0], (0.0, 0.0))


class Frozen(Bandit):
    """A control: draws by the opinions that it starts with and never learns."""

    def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
        """Take no note."""

    def recall(self, outcomes: Mapping[str, tuple[int, int]]) -> None:
        """Take no note."""


class Even(Frozen):
    """The other control: draws evenly."""

    def choose(self, arms: Sequence[str], rng: random.Random) -> str:
        """Any arm."""
        return rng.choice(arms)


BANDITS: dict[str, type[Bandit]] = {"learning": Bandit, "frozen": Frozen, "even": Even}
"""By the names that the settings give them."""


class Steps:
    """Step sizes of scale constants, in natural logarithms: longer after a gain, shorter after none.

    The rule of one success in five (Rechenberg, "Evolutionsstrategie", 1973): growth and shrinkage balance there.
    """

    _FIRST = 0.35
    _SHORTEST = 0.02
    _LONGEST = math.log(10)
    _GROWTH = 1.5

    def __init__(self) -> None:
        self._sizes: dict[str, float] = {}

    def size(self, name: str) -> float:
        """The step for a constant."""
        return self._sizes.get(name, self._FIRST)

    def learn(self, name: str, gained: bool) -> None:
        """Take note of an outcome."""
        factor = self._GROWTH if gained else self._GROWTH**-0.25
        size = min(self._LONGEST, max(self._SHORTEST, self._sizes.pop(name, self._FIRST) * factor))
        self._sizes[name] = size
        if len(self._sizes) > _ARMS_KEPT:
            del self._sizes[next(iter(self._sizes))]
