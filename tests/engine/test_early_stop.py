"""The median rule: it stops as defined and keeps a bounded number of curves."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.curve import Point
from engine.evaluation.early_stop import MedianRule, RunningCurve
from engine.task.spec import EarlyStop

LOSS = EarlyStop(value="loss", direction="minimize", earlier=3)
Values = st.lists(st.floats(0, 10), min_size=1, max_size=12)


def points(values: list[float]) -> list[Point]:
    return [(float(step), {"loss": value, "other": 1.0}) for step, value in enumerate(values)]


@given(st.lists(Values, max_size=8), Values)
def test_curve_is_stopped_as_defined(past: list[list[float]], values: list[float]) -> None:
    rule = MedianRule(LOSS)
    for earlier in past:
        rule.add(points(earlier))
    running = RunningCurve(rule)
    for step, value in enumerate(values):
        reached = [earlier[step] for earlier in past if len(earlier) > step]
        median = statistics.median(reached) if len(reached) >= 3 else None
        reason = running.should_stop(float(step), {"loss": value})
        best = min(values[: step + 1])
        if median is None or best < median - 1e-9:
            assert not reason
        elif best > median + 1e-9:
            assert f"stopped early at step {step}" in reason


def test_missing_value_or_early_step_never_stops() -> None:
    rule = MedianRule(EarlyStop(value="loss", direction="minimize", earlier=1, from_step=5))
    rule.add(points([0.0] * 10))
    running = RunningCurve(rule)
    assert not running.should_stop(1.0, {"loss": 9.0})
    assert not running.should_stop(None, {"loss": 9.0})
    assert not running.should_stop(6.0, {"other": 9.0})
    assert running.should_stop(6.0, {"loss": 9.0})


def test_only_newest_curves_are_kept() -> None:
    rule = MedianRule(LOSS)
    for _ in range(300):
        rule.add(points([5.0, 5.0]))
    for _ in range(200):
        rule.add(points([1.0, 1.0]))
    assert rule.median(1.0) == 1.0
    assert rule.median(7.0) is None
