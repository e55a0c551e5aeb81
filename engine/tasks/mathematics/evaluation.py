"""Score what a program constructs by the task's `exact.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import evolve_task
from answers import Refused
from exact import FUNCTION, METRIC, arguments, direction_of, drawn, measure

__all__ = ["ask", "evaluate_answer"]

Further = Callable[[Any, dict[str, Any]], dict[str, Any]]


def ask(settings: dict[str, Any], given: Any = None) -> Any:
    """Return what the candidate constructs for an instance.

    Args:
        settings: the instance.
        given: an answer that it is to improve; None if there is none.
    """
    if given is None:
        return evolve_task.call(FUNCTION, *arguments(settings))
    return evolve_task.call(FUNCTION.replace("construct_", "improve_"), given, *arguments(settings))


def evaluate_answer(report: Any, further: Further | None = None) -> dict[str, Any]:
    """Return the score of what the candidate constructs, exact but for one rounding.

    That rounding is to the worse side, so that no score is better than its answer.

    Args:
        report: the evaluation's report; its settings are the instance.
        further: returns further metrics of an answer that keeps the rules, and its settings; it may raise `Invalid`.

    Raises:
        Invalid: the answer breaks the rules.
    """
    answer = ask(report.settings, report.given)
    try:
        found = measure(answer, report.settings)
    except Refused as exc:
        raise evolve_task.Invalid(str(exc)) from None
    more = further(answer, report.settings) if further is not None else {}
    score = found.worst(direction_of(report.settings))
    report(step=1, **{METRIC: score})
    report.keep(answer)
    report.picture(*drawn(answer, report.settings))
    return {METRIC: score, **found.metrics, **more}
