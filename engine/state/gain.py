"""What paired measurements say of a gain: its mean, its spread, and the least that the spread supports.

Each gain is the difference between two programs on the same data, so that effects of the data on both cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine.journal.events import VerifyDone, VerifyMeasured

__all__ = [
    "KEPT",
    "NOT_CONFIRMED",
    "Outcome",
    "Support",
    "check_of",
    "describe_check",
    "is_futile",
    "judge_gain",
    "mean_of",
    "quantile",
    "support_of",
]

NOT_CONFIRMED = "gain not confirmed on fresh data"

Outcome = Literal["confirmed", "unsupported", "quarantined"]
"""`confirmed`: it may be crowned; `unsupported`: its gain is within its spread; `quarantined`: fresh data lack it."""

KEPT = 0.5
"""Least share of the recorded gain that fresh data must show. A program that memorised its data keeps none of its gain,
and an honest one keeps all on average."""


class Support(NamedTuple):
    """What several gains say together."""

    mean: float
    spread: float
    """Standard deviation; 0 of a single one."""
    error: float
    """Standard error of the mean: spread / sqrt(n)."""
    number: int
    """How many there are."""

    def least(self, confidence: float) -> float:
        """Return the lower bound of the mean gain.

        It is the one-sided bound of Student's t for paired differences, mean − t(confidence, n − 1) · s / √n
        ("Student", "The probable error of a mean", Biometrika 6, 1908). A single gain has no spread: it is the bound.

        Args:
            confidence: from 0.5, which asks for nothing, to below 1.
        """
        return self.mean - self.reach(confidence)

    def reach(self, confidence: float) -> float:
        """Return how far the one-sided bound is from the mean."""
        return quantile(confidence, self.number - 1) * self.error if self.error > 0.0 else 0.0


def support_of(gains: Sequence[float]) -> Support:
    """Return what one or more gains say together."""
    # Not by `statistics`, which the application's start would pay for.
    count, mean = len(gains), mean_of(gains)
    squares = [(gain - mean) * (gain - mean) for gain in gains]
    spread = math.sqrt(sum(squares) / (count - 1)) if count > 1 else 0.0
    return Support(mean, spread, spread / math.sqrt(count), count)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of some numbers; infinite if they are too large to be added."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.inf


def judge_gain(recorded: Sequence[float], fresh: Sequence[float], noise: float, confidence: float) -> Outcome:
    """Return whether measurements support a gain.

    Args:
        recorded: gains on the data that the node was ranked on; they are why it is looked at, and so flatter it.
        fresh: gains on data that nothing was chosen by; may be empty if the task is not verified.
        noise: gains up to this count as none.
        confidence: of the one-sided bound over all of them.
    """
    if fresh:
        shown = mean_of(fresh)
        expected = mean_of(recorded) if recorded else 0.0
        if shown <= noise or shown < KEPT * expected:
            return "quarantined"
    gains = [*recorded, *fresh]
    if len(gains) > 1 and support_of(gains).least(confidence) <= noise:
        return "unsupported"
    return "confirmed"


def is_futile(recorded: Sequence[float], noise: float, confidence: float) -> bool:
    """Return whether one more gain, as large as the mean of those recorded, would still not support it."""
    return len(recorded) > 1 and support_of([*recorded, mean_of(recorded)]).least(confidence) <= noise


def check_of(
    outcome: Outcome,
    recorded: Sequence[float],
    fresh: Sequence[float],
    confidence: float,
    *,
    reference: int | None,
    found: Sequence[VerifyMeasured] = (),
    node: int = -1,
    asked: bool = False,
    why: str = "",
) -> VerifyDone:
    """Return the event that records what is known of a gain.

    Args:
        outcome: what `judge_gain` says, or `quarantined` for another reason.
        recorded: gains on recorded data.
        fresh: gains on fresh data.
        confidence: of the bound.
        reference: the node that it was compared with.
        found: the measurements on fresh data.
        node: the node that is verified.
        asked: whether a person asked.
        why: the other reason.
    """
    gains = [*recorded, *fresh]
    support = support_of(gains) if gains else None
    own = [result for result in found if result.of == node]
    return VerifyDone(
        outcome=outcome,
        reason=_reason(outcome, recorded, fresh, confidence, reference, why),
        reference=reference,
        draws=[result.draw for result in own],
        scores=[result.score for result in own if result.score is not None],
        reference_scores=[result.score for result in found if result.of != node and result.score is not None],
        gains=[_finite(gain) or 0.0 for gain in gains],
        fresh=len(fresh),
        gain=_finite(support.mean) if support is not None else None,
        spread=_finite(support.spread) if support is not None and support.number > 1 else None,
        least=_finite(support.least(confidence)) if support is not None and support.number > 1 else None,
        confidence=confidence,
        asked=asked,
    )


def _finite(value: float) -> float | None:
    """Return a number that the journal can hold; differences of the largest scores are none."""
    return value if math.isfinite(value) else None


def describe_check(check: VerifyDone) -> str:
    """Return in one line what is known of a gain, with its figures."""
    told = check.reason
    if check.outcome == "confirmed":
        over = "" if check.reference is None else f" over #{check.reference}"
        told = f"confirmed{over}" if check.gain is None else f"gain {check.gain:.4g}{over} confirmed"
        if check.least is not None:
            told += f", at least {check.least:.4g} at a confidence of {check.confidence:.4g}"
    if not check.scores:
        return told
    support = support_of(check.scores)
    spread = f", standard deviation {support.spread:.3g} over {support.number} draws" if support.number > 1 else ""
    return f"{told} ({support.mean:.6g} on fresh data{spread})"


def _reason(
    outcome: Outcome, recorded: Sequence[float], fresh: Sequence[float], confidence: float, other: int | None, why: str
) -> str:
    if outcome == "confirmed":
        return ""
    if why:
        return f"{NOT_CONFIRMED}: {why}"
    if outcome == "quarantined":
        before = f", recorded {mean_of(recorded):.4g}" if recorded else ""
        return f"{NOT_CONFIRMED}: {mean_of(fresh):.4g} over #{other}{before}"
    support = support_of([*recorded, *fresh])
    return (
        f"gain within its spread: {support.mean:.4g} over #{other}, standard deviation {support.spread:.3g} over "
        f"{support.number} measurements; at least {support.least(confidence):.3g} at a confidence of {confidence:.4g}"
    )


def quantile(confidence: float, freedom: int) -> float:
    """Return the one-sided quantile of Student's t, by bisection of its distribution function.

    For whole degrees of freedom that is a finite sum: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3
    and 26.7.4, in θ = arctan(t / √ν).

    Args:
        confidence: probability of a lower value, from 0.5 to below 1.
        freedom: degrees of freedom, from 1.
    """
    inside = 2.0 * confidence - 1.0
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _inside(middle, freedom) < inside:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _inside(angle: float, freedom: int) -> float:
    """Return the probability that |t| is below √ν · tan(angle)."""
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1, freedom // 2 + 1):
        total += term
        factor = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
        term *= factor * cosine * cosine
    total *= math.sin(angle)
    return 2.0 / math.pi * (angle + total) if odd else total
