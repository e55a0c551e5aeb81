"""The verdict on a node: what the repeats of a stage say together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.journal.events import EvalStageDone, Status
from engine.task.spec import Stage, TaskSpec

__all__ = ["Verdict", "decide"]


@dataclass(frozen=True)
class Verdict:
    """What one stage says of a node."""

    stage: str
    status: Status
    score: float | None = None
    """The mean over the repeats; None unless the status is `ok`."""
    metrics: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    """Why the status is not `ok`; empty if it is."""
    measurements: int = 1
    """How many scores there are."""
    spread: float | None = None
    """Standard deviation over several scores; None if it is no number."""


def decide(spec: TaskSpec, stage: Stage, results: Sequence[EvalStageDone]) -> Verdict:
    """Return the verdict of a stage: the mean over its repeats, or the first repeat that failed.

    Args:
        spec: the task.
        stage: the stage.
        results: the results of its repeats; at least one.
    """
    failed = next((result for result in results if result.status != "ok"), None)
    if failed is not None:
        return Verdict(stage.name, failed.status, metrics=failed.metrics, reason=failed.reason)
    scores = [result.score for result in results if result.score is not None]
    score = scores[0] if len(scores) == 1 else statistics.fmean(scores)
    metrics = results[0].metrics if len(results) == 1 else _mean_metrics(results)
    if stage.threshold is not None and spec.better(stage.threshold, score):
        reason = f"{spec.metric} {score:.6g} is worse than the threshold {stage.threshold:g} of '{stage.name}'"
        return Verdict(stage.name, "rejected", metrics=metrics, reason=reason)
    return Verdict(stage.name, "ok", score, metrics, measurements=len(scores), spread=_spread(scores))


def _spread(scores: list[float]) -> float | None:
    try:
        return statistics.stdev(scores) if len(scores) > 1 else None
    except OverflowError:
        return None


def _mean_metrics(results: Sequence[EvalStageDone]) -> dict[str, Any]:
    """Return the mean of each number, and the first value of what is none."""
    merged: dict[str, Any] = {}
    for key in results[0].metrics:
        values = [result.metrics.get(key) for result in results]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        merged[key] = statistics.fmean(numbers) if len(numbers) == len(values) else values[0]
    return merged
