"""Compute fitness, which ranks nodes, from recorded metrics, so that other weights rank anew without new measurements.

`score` ranks by the score of the evaluation, `composite` by the paper's composite (arXiv 2603.29640 takes it over from
ASI-Arch, arXiv 2507.18074): the mean of sigmoids of relative gains over the baseline, which is node 0. A judge's mark,
if it has a weight, is blended with either: (1 − ρ)·x + ρ·judge. The sign of fitness is such that higher is better. If
a part is missing or not a number, the node is not ranked, because any number in its place would be made up.
`pareto` makes each part a coordinate above a reference point, and ranks by the volume between that and the node, so
that the best is the front's balanced node; `engine.state.fronts` keeps the hypervolume of the whole front, in the same
units. Constraints (`engine.settings.constraints`) change no fitness: they keep a node from being the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.settings.constraints import finite, parse_constraints

__all__ = ["FitnessPart", "FitnessSettings", "fitness_of", "least_gain", "point_of"]


class FitnessPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric of the composite, or an objective of the front."""

    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower value is better."""
    weight: float = 1.0
    """composite: its share among the parts; 0 leaves it out."""
    reference: float | None = None
    """pareto: its value where it is worth nothing, by default as far on the worse side of node 0 as that is from 0: at
    0 if higher is better, at twice node 0's value if lower is, for values above 0. A coordinate is the distance from
    it, in units of node 0's value if it is not given.
    """

    def __post_init__(self) -> None:
        if self.reference is not None and not math.isfinite(self.reference):
            raise ValueError(f"`reference` must be a number, not {self.reference}")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a number from 0, not {self.weight}")


class FitnessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What nodes are ranked by."""

    kind: Literal["score", "composite", "pareto"] = "score"
    judge: float = 0.0
    """ρ, the share of the judge's mark (0 to 1); with 0 no judge is needed."""
    parts: dict[str, FitnessPart] = {}
    """composite: the metrics that count, by name; by default the score alone. pareto: two or three objectives."""
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
        if self.kind == "pareto" and len(self.parts) not in (2, 3):
            raise ValueError(f"`parts` must name two or three objectives if `kind` is pareto, not {len(self.parts)}")
        if self.kind == "pareto" and self.judge:
            raise ValueError("`judge` has no place in a front; leave it at 0 if `kind` is pareto")
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
    elif settings.kind == "pareto":
        point = point_of(settings, measured, baseline)
        return None if point is None else _worth(point)
    else:
        parts = settings.parts or {metric: FitnessPart("maximize" if direction == "maximize" else "minimize")}
        value = _composite(parts, settings.sharpness, measured, baseline)
    if value is None or not settings.judge:
        return value
    return None if judge is None else (1.0 - settings.judge) * value + settings.judge * judge


def least_gain(settings: FitnessSettings, min_gain: float) -> float:
    """Return the difference in fitness up to which two nodes count as equal; `min_gain` is in units of the score."""
    return min_gain * (1.0 - settings.judge) if settings.kind == "score" else 0.0


def point_of(
    settings: FitnessSettings, measured: Mapping[str, Any], baseline: Mapping[str, Any]
) -> tuple[float, ...] | None:
    """Return a node's place in the space of objectives: 0 at the reference point, higher is better in all of them.

    Args:
        settings: its parts are the objectives.
        measured: the node's metrics, the score included.
        baseline: those of the baseline.

    Returns:
        None if the kind is no front, or a part is missing.
    """
    if settings.kind != "pareto":
        return None
    point = []
    for name, part in settings.parts.items():
        value, before = finite(measured.get(name)), finite(baseline.get(name))
        if value is None or (before is None and part.reference is None):
            return None
        if part.reference is not None:
            place = _turned(value - part.reference, part.direction)
        else:
            assert before is not None
            place = 1.0 + _turned(value - before, part.direction) / (abs(before) or 1.0)
        point.append(place)
    return tuple(point) if all(map(math.isfinite, point)) else None


def _worth(point: tuple[float, ...]) -> float | None:
    """Return the volume above the reference point; below 0, by how much is missing, if it is not above everywhere."""
    if min(point) <= 0.0:
        return math.fsum(min(0.0, place) for place in point)
    return finite(math.prod(point))


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
