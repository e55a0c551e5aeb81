"""Score what a program constructs by the task's `exact.py`."""

from __future__ import annotations

from typing import Any

import evolve_task
from answers import Refused
from exact import FUNCTION, METRIC, arguments, direction_of, drawn, measure

__all__ = ["ask", "evaluate_answer"]


def ask(settings: dict[str, Any]) -> Any:
    """Return what the candidate constructs for an instance."""
    return evolve_task.call(FUNCTION, *arguments(settings))


def evaluate_answer(report: Any) -> dict[str, Any]:
    """Return the score of what the candidate constructs, exact but for one rounding.

    That rounding is to the worse side, so that no score is better than its answer.

    Args:
        report: the evaluation's report; its settings are the instance.

    Raises:
        Invalid: the answer breaks the rules.
    """
    answer = ask(report.settings)
    try:
        found = measure(answer, report.settings)
    except Refused as exc:
        raise evolve_task.Invalid(str(exc)) from None
    score = found.worst(direction_of(report.settings))
    report(step=1, **{METRIC: score})
    report.picture(*drawn(answer, report.settings))
    return {METRIC: score, **found.metrics}
