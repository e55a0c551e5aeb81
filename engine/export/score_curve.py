"""Draw the curve of a run as SVG geometry: the ranked value of every node, the best so far, and axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.state.run_state import RunState

__all__ = ["HEIGHT", "LEFT", "WIDTH", "ScoreCurve", "Step", "bounds", "draw_curve", "scale", "ticks"]

WIDTH, HEIGHT = 960, 320
LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 14, 40


@dataclass(frozen=True)
class Step:
    """A node that was better than all before it: a mark with a tooltip."""

    x: float
    y: float
    label: str
    """The tooltip."""


@dataclass
class ScoreCurve:
    """Path data and labels, in units of the picture."""

    points: str = ""
    """A dot for every ranked node."""
    failed: str = ""
    """A tick on the lower edge for every other node."""
    best: str = ""
    """The best so far, as a line of steps."""
    steps: list[Step] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    record: float | None = None
    """The height of the best value that is known; None if that is not in the picture."""
    clipped: int = 0
    """How many values lie so far off that they are drawn on the edge."""


def draw_curve(state: RunState) -> ScoreCurve | None:
    """Return the curve over the nodes in order; None if no node is ranked."""
    ranking = state.ranking
    ranked = [(node, value) for node in state.nodes if (value := ranking.of(node)) is not None]
    if not ranked:
        return None
    low, high = bounds([value for _, value in ranked], ranking.maximize)
    risen = state.front_steps if state.settings.fitness.kind == "pareto" else []
    high = max([high, *(step.hypervolume * 1.04 for step in risen)])
    record = state.spec.record if not ranking.by_fitness else None
    if record is not None and low - (high - low) <= record.value <= high + (high - low):
        low, high = min(low, record.value), max(high, record.value)
    last = max(1, len(state.nodes) - 1)
    floor = HEIGHT - _BOTTOM

    x, y = scale(0, last, low, high)
    curve = ScoreCurve()
    curve.points = "".join(f"M{x(node.id)} {y(value)}h0" for node, value in ranked)
    curve.clipped = sum(not low <= value <= high for _, value in ranked)
    curve.failed = "".join(
        f"M{x(node.id)} {floor}v5" for node in state.nodes if ranking.of(node) is None and node.status is not None
    )
    # In the order of the nodes: with rounds in flight a node may be crowned after a later one.
    best: float | None = None
    risen_to = 0.0
    for step in sorted(risen):
        if curve.steps and step.hypervolume <= risen_to:
            continue
        risen_to = step.hypervolume
        at = x(step.node), y(step.hypervolume)
        curve.best += f"M{at[0]} {at[1]}" if not curve.steps else f"H{at[0]}V{at[1]}"
        label = f"#{step.node}: hypervolume {step.hypervolume:.6g}"
        curve.steps.append(Step(*at, label))
    for node, value in ranked if not risen else ():
        if node.eligible and state.exceeds(node.fitness, best):
            at = x(node.id), y(value)
            curve.best += f"M{at[0]} {at[1]}" if best is None else f"H{at[0]}V{at[1]}"
            curve.steps.append(Step(*at, f"#{node.id}, round {node.round}: {ranking.describe(node, 8)}"))
            best = node.fitness
    curve.best += f"H{x(last)}"
    if record is not None and low <= record.value <= high:
        curve.record = y(record.value)
    curve.y_ticks = [(y(value), f"{value:.6g}") for value in ticks(low, high, 5)]
    curve.x_ticks = [(x(int(value)), str(int(value))) for value in ticks(0, last, 8) if value == int(value)]
    return curve


def scale(
    first: float, last: float, low: float, high: float
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return what turns a place between `first` and `last`, and a value, into the picture's x and y.

    A value outside of `low` and `high` is drawn on the edge.
    """
    floor = HEIGHT - _BOTTOM

    def x(place: float) -> float:
        return round(LEFT + (WIDTH - LEFT - _RIGHT) * (place - first) / (last - first), 1)

    def y(value: float) -> float:
        part = (min(high, max(low, value)) - low) / (high - low)
        return round(floor - (floor - _TOP) * part, 1)

    return x, y


def bounds(scores: list[float], maximize: bool) -> tuple[float, float]:
    """Return the range to draw: all scores, without the worst tenth if that would flatten the rest."""
    ordered = sorted(scores, reverse=not maximize)
    worst, tenth, best = ordered[0], ordered[len(ordered) // 10], ordered[-1]
    edge = tenth + (tenth - best) * 0.25 if abs(tenth - worst) > abs(best - tenth) > 0 else worst
    low, high = min(edge, best), max(edge, best)
    margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers between two bounds."""
    rough = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]
