"""Compute fitness, which ranks nodes, from recorded metrics, so that other weights rank anew without new measurements.

`score` ranks by the score of the evaluation, `composite` by the paper's composite (arXiv 2603.29640 takes it over from
ASI-Arch, arXiv 2507.18074): the mean of sigmoids of relative gains over the baseline, which is node 0. A judge's mark,
if it has a weight, is blended with either: (1 − ρ)·x + ρ·judge. The sign of fitness is such that higher is better. If
a part is missing or not a number, the node is not ranked, because any number in its place would be made up.
Constraints (`engine.settings.constraints`) change no fitness: they keep a node from being the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.settings.constraints import finite, parse_constraints

__all__ = ["FitnessPart", "FitnessSettings", "fitness_of", "least_gain"]


class FitnessPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric of the composite."""

    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower value is better."""
    weight: float = 1.0
    """Its share among the parts; 0 leaves it out."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a number from 0, not {self.weight}")


class FitnessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What nodes are ranked by."""

    kind: Literal["score", "composite"] = "score"
    judge: float = 0.0
    """ρ, the share of the judge's mark (0 to 1); with 0 no judge is needed."""
    parts: dict[str, FitnessPart] = {}
    """composite: the metrics that count, by name; by default the score alone."""
    sharpness: float = 10.0
    """composite: steepness of the sigmoid; with 10 a gain of a tenth of the baseline makes 0.73 of 0.5."""
    require: dict[str, str] = {}
    """Constraints by the name of their metric, such as `">= 1000"` or `"<= parent * 1.05"`; a node that breaks one is
    kept and never the best. See `engine.settings.constraints` for what they may say."""

    @property
    def is_score(self) -> bool:
        """Return whether the score alone ranks."""
        return self.kind == "score" and not self.judge

    def __post_init__(self) -> None:
        if not 0 <= self.judge <= 1:
            raise ValueError(f"`judge` must lie between 0 and 1, not {self.judge}")
        if not 0 < self.sharpness < math.inf:
            raise ValueError(f"`sharpness` must be a number above 0, not {self.sharpness}")
        if self.parts and not any(part.weight for part in self.parts.values()):
            raise ValueError("`parts` must leave at least one part a weight")
        for name, text in self.require.items():
            try:
                parse_constraints(text)
            except ValueError as exc:
                raise ValueError(f"`require.{name}`: {exc}") from None


def fitness_of(
    settings: FitnessSettings,
    metric: str,
    direction: str,
    measured: Mapping[str, Any],
    baseline: Mapping[str, Any],
    judge: float | None,
) -> float | None:
    """Return the fitness of a node with a score; higher is better.

    Args:
        settings: kind and weights.
        metric: the name of the score.
        direction: `maximize` or `minimize`: whether a higher or a lower score is better.
        measured: its metrics, the score included.
        baseline: the metrics of the baseline.
        judge: the judge's mark, 0 to 1.

    Returns:
        None if a part with a weight is missing.
    """
    if settings.kind == "score":
        score = finite(measured.get(metric))
        value = None if score is None else _turned(score, direction)
    else:
        parts = settings.parts or {metric: FitnessPart("maximize" if direction == "maximize" else "minimize")}
        value = _composite(parts, settings.sharpness, measured, baseline)
    if value is None or not settings.judge:
        return value
    return None if judge is None else (1.0 - settings.judge) * value + settings.judge * judge


def least_gain(settings: FitnessSettings, min_gain: float) -> float:
    """Return the difference in fitness up to which two nodes count as equal; `min_gain` is in units of the score."""
    return min_gain * (1.0 - settings.judge) if settings.kind == "score" else 0.0


def _composite(
    parts: Mapping[str, FitnessPart], sharpness: float, measured: Mapping[str, Any], baseline: Mapping[str, Any]
) -> float | None:
    total = weights = 0.0
    for name, part in parts.items():
        if not part.weight:
            continue
        value, before = finite(measured.get(name)), finite(baseline.get(name))
        if value is None or before is None:
            return None
        gain = _turned(value - before, part.direction)
        # A baseline of 0 has no relative gain: use the gain itself.
        exponent = sharpness * (gain / abs(before) if before else gain)
        total += part.weight * _sigmoid(exponent)
        weights += part.weight
    return total / weights


def _sigmoid(x: float) -> float:
    # exp() overflows above 700.
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, x))))


def _turned(value: float, direction: str) -> float:
    return value if direction == "maximize" else -value
