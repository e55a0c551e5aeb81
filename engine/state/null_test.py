"""The null test: could a program that is no better than the best be crowned, for the noise that a task has?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from engine.settings.fitness import least_gain
from engine.settings.model import Settings
from engine.state.gain import judge_gain, mean_of, support_of
from engine.task.spec import TaskSpec

__all__ = ["CONFIRMATIONS", "MOST", "Crowning", "NullTest", "crowning_of", "run_null_test"]

CONFIRMATIONS = 2
"""Further measurements before a new best of a noisy evaluator is crowned."""

MOST = 0.125
"""Share of programs that are no better and are crowned all the same, above which the test fails: one in eight."""

_DESIGNS = 1_000
_MOST_REPEATS = 12
_STEPS = 10


class Crowning(NamedTuple):
    """What a node must pass to be crowned."""

    repeats: int
    """Measurements of every node."""
    confirmations: int
    """Further ones of a new best."""
    fresh: bool
    """Whether it is verified on fresh data."""
    noise: float
    """Gains up to this count as none."""
    confidence: float


class NullTest(NamedTuple):
    """What the noise of a task does."""

    measurements: int
    spread: float
    """Standard deviation of what ranks, over measurements of one program."""
    chance: float
    """Share of programs of the same worth that would be crowned."""
    needed_gain: float | None
    """The least `min_gain` with which the test passes; None if it passes as it is."""
    needed_repeats: int | None
    """The least repeats with which it passes; None if it passes, or if none up to 12 do."""

    @property
    def ok(self) -> bool:
        """Whether it is passed."""
        return self.chance <= MOST

    def describe(self, gain_helps: bool = True) -> str:
        """Return in a sentence what was found, and what would help.

        Args:
            gain_helps: whether `min_gain` counts in what ranks; it does not in a composite.
        """
        if not self.spread:
            return f"the same in {self.measurements} measurements, so that nothing that is no better is crowned"
        told = (
            f"the same program has a standard deviation of {self.spread:.3g} over {self.measurements} measurements; "
            f"{self.chance:.1%} of the designs that are no better would be crowned"
        )
        if self.ok:
            return told
        ways = [f"min_gain = {self.needed_gain:.2g}"] if gain_helps and self.needed_gain is not None else []
        ways += [f"repeats = {self.needed_repeats}"] if self.needed_repeats is not None else []
        return f"{told}: more than one in eight. " + (
            f"{' or '.join(ways)} would do" if ways else 'A higher `confidence`, or confirm = "gain", would help'
        )


def crowning_of(spec: TaskSpec, settings: Settings) -> Crowning:
    """Return what a new best of a task must pass under some settings."""
    return Crowning(
        spec.score_stage.repeats,
        CONFIRMATIONS if spec.noisy else 0,
        spec.confirmation == "gain",
        least_gain(settings.fitness, spec.min_gain),
        settings.confidence,
    )


def run_null_test(values: Sequence[float], crowning: Crowning) -> NullTest:
    """Return how often programs of the same worth would be crowned.

    Designs are drawn whose every measurement differs from the best's by normal noise of the spread found, in the way of
    two independent measurements; the draws are always the same.

    Args:
        values: what ranks, from two or more measurements of one program.
        crowning: what a new best must pass.
    """
    spread = support_of(values).spread
    chance = _chance(spread, crowning)
    needed_gain = needed_repeats = None
    if chance > MOST:
        needed_gain = _least_gain(spread, crowning)
        possible = range(crowning.repeats + 1, _MOST_REPEATS + 1) if crowning.noise > 0.0 else ()
        needed_repeats = next((n for n in possible if _chance(spread, crowning._replace(repeats=n)) <= MOST), None)
    return NullTest(len(values), spread, chance, needed_gain, needed_repeats)


def _chance(spread: float, crowning: Crowning) -> float:
    if not 0.0 < spread < math.inf:
        return 0.0
    rng = random.Random(0)
    noise, first = crowning.noise, crowning.repeats
    crowned = 0
    for _ in range(_DESIGNS):
        gains = [rng.gauss(0.0, spread * math.sqrt(2.0)) for _ in range(first + crowning.confirmations + 1)]
        recorded, fresh = gains[:-1], gains[-1:] if crowning.fresh else []
        if mean_of(recorded[:first]) > noise and mean_of(recorded) > noise:
            crowned += judge_gain(recorded, fresh, noise, crowning.confidence) == "confirmed"
    return crowned / _DESIGNS


def _least_gain(spread: float, crowning: Crowning) -> float:
    low, high = crowning.noise, crowning.noise + 4.0 * spread
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if _chance(spread, crowning._replace(noise=middle)) <= MOST else (middle, high)
    return high
