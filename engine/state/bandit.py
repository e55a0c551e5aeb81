"""What choices brought in a run, and which one to take next by that."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec

__all__ = ["Arm", "Credit", "DesignRecord", "Name", "Rule", "choose_for_cost", "choose_ucb"]

Name = TypeVar("Name", bound=str)
"""The name of an arm."""
Rule = Literal["weights", "ucb", "thompson"]
"""How an arm is chosen; `weights`: not by what it brought."""

_EXPLORE = 0.5
"""Weight of the exploration term: a run chooses far less often than the theory's horizon."""
_LEAST_COST = 1e-12


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


class DesignRecord(msgspec.Struct, gc=False):
    """What the designs of one model, or of one way of writing, brought and cost."""

    asked: int = 0
    """Designs that were asked for and came, usable or not."""
    usd: float = 0.0
    """What they cost."""
    tokens: int = 0
    """Their tokens in and out."""
    designs: int = 0
    """How many were measured."""
    gained: int = 0
    """How many of these stand by more than noise above what they were made from."""
    gain: float = 0.0
    """The sum of that, in fitness."""


class Arm(NamedTuple):
    """One choice, with what it brought so far and what it begins with."""

    gains: float
    vain: float
    cost: float
    """Mean cost of a try, in any unit."""


def choose_for_cost(arms: Mapping[Name, Arm], rule: Rule, rng: random.Random) -> Name:
    """Return the arm that promises most gains for its cost.

    - `ucb`: argmax of (x_j + sqrt(2 ln t / n_j)) / c_j, fractional KUBE of Tran-Thanh, Chapman, Rogers and Jennings,
      "Knapsack based Optimal Policies for Budget-Limited Multi-Armed Bandits", AAAI 2012, with the mean cost so far as
      c_j and half of the second term.
    - `thompson`: argmax of θ_j / c_j, θ_j drawn from the Beta posterior of the chance, after Xia, Li, Qin, Yu and Liu,
      "Thompson Sampling for Budgeted Multi-armed Bandits", IJCAI 2015, with the mean cost in place of a drawn one.

    Args:
        arms: those to choose from, at least one, each with gains and tries in vain above 0.
        rule: `ucb` or `thompson`.
        rng: the only source of chance.
    """
    costs = {name: max(arm.cost, _LEAST_COST) for name, arm in arms.items()}
    if rule == "thompson":
        values = {name: rng.betavariate(arm.gains, arm.vain) / costs[name] for name, arm in arms.items()}
    else:
        tries = {name: arm.gains + arm.vain for name, arm in arms.items()}
        total = math.log(sum(tries.values()))
        values = {
            name: (arm.gains / tries[name] + _EXPLORE * math.sqrt(2 * total / tries[name])) / costs[name]
            for name, arm in arms.items()
        }
    best = max(values.values())
    return rng.choice([name for name, value in values.items() if value == best])
