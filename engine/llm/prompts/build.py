"""Build prompts from a stage's inputs. To fit, leave out whole sections in a stated order; cut nothing."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cognition.prior import Prior
from engine.evaluation.curve import Point
from engine.llm.messages import Message
from engine.llm.prompts.templates import Prompts
from engine.llm.requests import DesignRequest, Facts
from engine.programs.outline import ProgramError, outline
from engine.settings.models import ModelSpec
from engine.task.spec import Criterion, TaskSpec

__all__ = ["PromptTooLong", "analyzer_prompt", "estimate_tokens", "judge_prompt", "prompt_room", "researcher_prompt"]

_BYTES_A_TOKEN = 3.2
_MESSAGE_TOKENS = 8
_METRICS_SHOWN = 20
_POINTS_SHOWN = 12
_OUTPUT_SHOWN = 3000
_DIFF_LINES = 3


class PromptTooLong(Exception):
    """The sections that a prompt must have do not fit the model's context; the message gives both sizes."""


def estimate_tokens(messages: Iterable[Message]) -> int:
    """Estimate a prompt's tokens: one per 3.2 bytes; programs were measured at 3.5."""
    sizes = [len(item.content.encode("utf-8", "replace")) for item in messages]
    return sum(math.ceil(size / _BYTES_A_TOKEN) + _MESSAGE_TOKENS for size in sizes)


def prompt_room(models: Iterable[ModelSpec]) -> int:
    """Return how many tokens a prompt may have so that each of these models has room for its answer."""
    return min(model.context_tokens - model.answer_tokens for model in models)


_Shed = tuple[str, int, int]
"""A variable, the end from which its items are left out (0 or -1), and how many items to keep."""


def researcher_prompt(prompts: Prompts, spec: TaskSpec, brief: str, request: DesignRequest, room: int) -> list[Message]:
    """Return the prompt for a design in the request's mode.

    If it is longer than `room` tokens, whole sections are left out in this order: refused attempts but the last
    (oldest first), nodes shown beside the parent (last first; a crossover keeps the first), priors (last first), hints
    (oldest first), the output of a failed program, the last refused attempt.

    Raises:
        PromptTooLong: the task and the programs that the mode needs do not fit.
        TaskError: a template of the task is wrong.
    """
    context: dict[str, Any] = {
        **_task_variables(spec, brief),
        "ranked_by": request.ranking.key if request.ranking is not None else "score",
        "mode": request.mode,
        "parent": request.parent,
        "functions": _functions(request.parent.code),
        "error": request.parent.error,
        "inspirations": list(request.inspirations),
        "priors": [{"title": prior.title, "body": _body(prior)} for prior in request.priors],
        "hints": list(request.hints),
        "rejections": _rejections(request),
    }
    partners = 1 if request.mode == "crossover" else 0
    order: list[_Shed] = [
        ("rejections", 0, 1),
        ("inspirations", -1, partners),
        ("priors", -1, 0),
        ("hints", 0, 0),
        ("error", 0, 0),
        ("rejections", 0, 0),
    ]
    return _fit(prompts, f"researcher_{request.mode}", context, order, room, f"node {request.parent.id}")


def analyzer_prompt(prompts: Prompts, brief: str, facts: Facts, room: int, problem: str = "") -> list[Message]:
    """Return the prompt for the report on a node.

    If it is too long, sections are left out in this order: the evaluation's stdout, the curve, its stderr, the best
    node, the change itself.

    Args:
        prompts: the templates.
        brief: the problem statement.
        facts: the facts about the node.
        room: tokens that the prompt may have.
        problem: why the answer to an earlier prompt could not be used.

    Raises:
        PromptTooLong: the task alone does not fit.
        TaskError: a template of the task is wrong.
    """
    node = facts.node
    context: dict[str, Any] = {
        **_task_variables(facts.spec, brief),
        "ranked_by": facts.ranked_by.key,
        "node": node,
        "parent": facts.parent,
        "best": facts.best if facts.best is not None and facts.best.id != node.id else None,
        "program": "" if facts.parent is not None else facts.code,
        "change": _change(facts.parent_code, facts.code) if facts.parent is not None else "",
        "metrics": _metrics(node.metrics, facts.parent.metrics if facts.parent is not None else {}),
        "curve": _thinned(facts.curve),
        "stdout": facts.stdout[-_OUTPUT_SHOWN:].strip(),
        "stderr": facts.stderr[-_OUTPUT_SHOWN:].strip(),
        "problem": problem,
    }
    order: list[_Shed] = [(name, 0, 0) for name in ("stdout", "curve", "stderr", "best", "change", "program")]
    return _fit(prompts, "analyzer", context, order, room, f"the report on node {node.id}")


def judge_prompt(
    prompts: Prompts,
    spec: TaskSpec,
    brief: str,
    criteria: Sequence[Criterion],
    code: str,
    metrics: Mapping[str, Any],
    room: int,
    problem: str = "",
) -> list[Message]:
    """Return the prompt for a judgement of a program by a task's criteria; no section can be left out.

    Raises:
        PromptTooLong: task and program do not fit.
        TaskError: a template of the task is wrong.
    """
    context = {
        **_task_variables(spec, brief),
        "criteria": list(criteria),
        "program": code,
        "metrics": _metrics(metrics, {}),
        "problem": problem,
    }
    return _fit(prompts, "judge", context, [], room, "the program to be judged")


def _fit(
    prompts: Prompts, name: str, context: dict[str, Any], order: Sequence[_Shed], room: int, what: str
) -> list[Message]:
    sheds = iter(order)
    shed = next(sheds, None)
    while True:
        messages = prompts.messages(name, context)
        tokens = estimate_tokens(messages)
        if tokens <= room:
            return messages
        while shed is not None and not _leave_out(context, *shed):
            shed = next(sheds, None)
        if shed is None:
            raise PromptTooLong(
                f"{what} and the task take about {tokens} tokens, and the model's context has room for {max(room, 0)}: "
                "raise `context_tokens` or lower `max_tokens` of the model, or use one with a longer context"
            )


def _leave_out(context: dict[str, Any], name: str, end: int, keep: int) -> bool:
    """Remove one item of a variable, or all of it if it is not a list; return False if nothing is left to remove."""
    value = context[name]
    if not isinstance(value, list):
        context[name] = "" if isinstance(value, str) else None
        return bool(value)
    if len(value) <= keep:
        return False
    context[name] = value[1:] if end == 0 else value[:-1]
    return True


def _task_variables(spec: TaskSpec, brief: str) -> dict[str, Any]:
    return {"task": spec, "brief": brief.strip(), "limits": spec.limits_of(spec.score_stage)}


def _functions(code: str) -> list[str]:
    """Return the names of a program's functions and classes in order; none if it is not valid Python."""
    try:
        shape = outline(code)
    except ProgramError:
        return []
    return [name for name in shape.parts if name in shape.functions or name in shape.classes]


def _body(prior: Prior) -> str:
    """Return a prior's text without a heading that only repeats its title."""
    first, _, rest = prior.body.lstrip().partition("\n")
    return (rest if first.lstrip("# ").strip() == prior.title else prior.body).strip()


def _rejections(request: DesignRequest) -> list[dict[str, str]]:
    """Return earlier attempts with their reasons; the last with its program, unless that was a duplicate."""
    shown = []
    for number, rejection in enumerate(request.rejections, start=1):
        code = rejection.code if number == len(request.rejections) and rejection.check != "duplicate" else ""
        shown.append({"check": rejection.check, "reason": rejection.reason, "code": code})
    return shown


def _change(before: str, after: str) -> str:
    """Return a unified diff; empty if only layout or comments differ."""
    if _same(before, after):
        return ""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "parent", "program", n=_DIFF_LINES, lineterm=""
    )
    return "\n".join(lines)


def _same(before: str, after: str) -> bool:
    try:
        return outline(before).digest == outline(after).digest
    except ProgramError:
        return before == after


def _metrics(metrics: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": value, "before": before.get(name)}
        for name, value in list(metrics.items())[:_METRICS_SHOWN]
        if isinstance(value, int | float | str)
    ]


def _thinned(curve: Sequence[Point]) -> list[Point]:
    """Thin a curve to at most 12 evenly spread points that include the last."""
    if len(curve) <= _POINTS_SHOWN:
        return list(curve)
    stride = (len(curve) - 1) / (_POINTS_SHOWN - 1)
    return [curve[round(index * stride)] for index in range(_POINTS_SHOWN)]
