"""The curve of a run as SVG geometry: every node, the best so far, and axes with round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.state import RunState

__all__ = ["HEIGHT", "WIDTH", "ScoreCurve", "Step", "draw_curve"]

WIDTH, HEIGHT = 960, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 14, 40


@dataclass(frozen=True)
class Step:
    """A node that was better than all before it, as a mark that can be pointed at."""

    x: float
    y: float
    told: str


@dataclass
class ScoreCurve:
    """Path data and labels, in the picture's units."""

    points: str = ""
    """Every node with a score: a path of dots."""
    failed: str = ""
    """Every node without one: ticks on the lower edge."""
    best: str = ""
    """The best so far: a line of steps."""
    steps: list[Step] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    clipped: int = 0
    """Scores so far off that they are drawn on the edge."""


def draw_curve(state: RunState) -> ScoreCurve | None:
    """The curve over the nodes in order; None where none has a score."""
    scored = [(node.id, node.score) for node in state.nodes if node.score is not None]
    if not scored:
        return None
    maximize = state.spec is None or state.spec.direction == "maximize"
    low, high = _bounds([score for _, score in scored], maximize)
    last = max(1, len(state.nodes) - 1)
    floor = HEIGHT - _BOTTOM

    def x(node: int) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * node / last, 1)

    def y(score: float) -> float:
        part = (min(high, max(low, score)) - low) / (high - low)
        return round(floor - (floor - _TOP) * part, 1)

    curve = ScoreCurve()
    curve.points = "".join(f"M{x(node)} {y(score)}h0" for node, score in scored)
    curve.clipped = sum(not low <= score <= high for _, score in scored)
    curve.failed = "".join(
        f"M{x(node.id)} {floor}v5" for node in state.nodes if node.score is None and node.status is not None
    )
    # In the order of the nodes: with rounds in flight a node may be crowned after one that came later.
    best: float | None = None
    for node, score in scored:
        if best is None or state.better(score, best):
            curve.best += f"M{x(node)} {y(score)}" if best is None else f"H{x(node)}V{y(score)}"
            curve.steps.append(Step(x(node), y(score), f"#{node}, round {state.nodes[node].round}: {score:.8g}"))
            best = score
    curve.best += f"H{x(last)}"
    curve.y_ticks = [(y(value), f"{value:.6g}") for value in _ticks(low, high, 5)]
    curve.x_ticks = [(x(int(value)), str(int(value))) for value in _ticks(0, last, 8) if value == int(value)]
    return curve


def _bounds(scores: list[float], maximize: bool) -> tuple[float, float]:
    """The range to draw: all scores, but without the worst tenth where that would flatten the rest."""
    ordered = sorted(scores, reverse=not maximize)
    worst, tenth, best = ordered[0], ordered[len(ordered) // 10], ordered[-1]
    edge = tenth + (tenth - best) * 0.25 if abs(tenth - worst) > abs(best - tenth) > 0 else worst
    low, high = min(edge, best), max(edge, best)
    margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two bounds, about so many."""
    rough = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]
