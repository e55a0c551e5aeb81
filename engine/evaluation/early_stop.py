"""Early stop: end an evaluation whose curve runs below the median of earlier nodes at the same step.

This is the median pruning rule of Optuna (Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization
Framework", KDD 2019): a trial is ended at step s if its best value up to s is strictly worse than the median of the
values that earlier trials had at s. Google Vizier (KDD 2017, section 3.2.1) uses the median of their running means
instead, and a falling loss nearly always passes that.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import deque

from engine.evaluation.curve import Point
from engine.task.spec import EarlyStop

__all__ = ["MedianRule", "RunningCurve"]

_KEPT = 200


class MedianRule:
    """Hold the newest 200 curves of completed evaluations of one stage.

    Args:
        settings: which reported value to compare, and from which step.
    """

    def __init__(self, settings: EarlyStop) -> None:
        self.settings = settings
        self._curves: deque[tuple[list[float], list[float]]] = deque(maxlen=_KEPT)

    def add(self, points: list[Point]) -> None:
        """Add the curve of a successful evaluation."""
        steps: list[float] = []
        reported: list[float] = []
        for step, values in points:
            value = values.get(self.settings.value)
            if step is not None and value is not None and (not steps or step > steps[-1]):
                steps.append(step)
                reported.append(value)
        if steps:
            self._curves.append((steps, reported))

    def median(self, step: float) -> float | None:
        """Return the median of the earlier curves' last values up to a step; None while too few reach it."""
        reached = [
            values[bisect_right(steps, step) - 1] for steps, values in self._curves if steps[0] <= step <= steps[-1]
        ]
        return statistics.median(reached) if len(reached) >= self.settings.earlier else None


class RunningCurve:
    """The curve of a running evaluation.

    Args:
        rule: the rule of the evaluation's stage.
    """

    def __init__(self, rule: MedianRule) -> None:
        self._rule = rule
        self._best: float | None = None

    def should_stop(self, step: float | None, values: dict[str, float]) -> str:
        """Return why to stop the evaluation after this report, or an empty string to continue."""
        settings = self._rule.settings
        value = values.get(settings.value)
        if step is None or value is None:
            return ""
        sign = 1 if settings.direction == "maximize" else -1
        if self._best is None or sign * value > sign * self._best:
            self._best = value
        if step < settings.from_step:
            return ""
        median = self._rule.median(step)
        if median is None or sign * self._best >= sign * median:
            return ""
        return (
            f"stopped early at step {step:g}: {settings.value} {self._best:.6g} at best, "
            f"the median of earlier nodes is {median:.6g}"
        )
