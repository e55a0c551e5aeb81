"""Refuse a score that is better than possible: its program did not do what the task asks."""

from __future__ import annotations

from dataclasses import replace

from engine.evaluation.evaluator import Outcome
from engine.task.spec import TaskSpec

__all__ = ["held_to_bound"]


def held_to_bound(outcome: Outcome, spec: TaskSpec) -> Outcome:
    """Return an outcome; `invalid`, with the score among its metrics, if that is past the task's bound."""
    if outcome.score is None or not spec.is_impossible(outcome.score):
        return outcome
    source = f" ({spec.bound_source})" if spec.bound_source else ""
    return replace(
        outcome,
        status="invalid",
        score=None,
        metrics={**outcome.metrics, spec.metric: outcome.score},
        reason=f"better than is possible: {spec.metric} {outcome.score:.8g}, bound {spec.bound:.8g}{source}",
    )
