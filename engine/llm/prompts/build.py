"""Build prompts from a stage's inputs. To fit, leave out whole sections in a stated order; cut nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.evaluation.curve import Point
from engine.llm.messages import Message, PromptSize
from engine.llm.prompts.sections import (
    change_of,
    functions_of,
    lead_of,
    measured,
    metrics_told,
    prior_body,
    shorter_change,
)
from engine.llm.prompts.small import small_part
from engine.llm.prompts.templates import Prompts
from engine.llm.requests import ContextNode, DesignRequest, Facts
from engine.task.spec import Criterion, TaskSpec

__all__ = ["PromptTooLong", "again_prompt", "analyzer_prompt", "design_context", "judge_prompt", "most_tokens"]
__all__ += ["researcher_prompt"]

_BYTES_A_TOKEN = 3.2
_MESSAGE_TOKENS = 8
_METRICS_SHOWN = 20
_POINTS_SHOWN = 12
_OUTPUT_SHOWN = 3000
_FAILURES_SHOWN = 4


class PromptTooLong(Exception):
    """The sections that a prompt must have do not fit the model's context; the message gives both sizes."""


def most_tokens(messages: Iterable[Message]) -> int:
    """Return how many tokens a prompt has at most: one per 3.2 bytes; programs were measured at 3.5."""
    sizes = [len(item.content.encode("utf-8", "replace")) for item in messages]
    return sum(math.ceil(size / _BYTES_A_TOKEN) + _MESSAGE_TOKENS for size in sizes)


_Shed = tuple[str, int, int]
"""A variable, the end from which its items are left out (0 or -1), and how many items to keep."""


def researcher_prompt(
    prompts: Prompts, spec: TaskSpec, brief: str, request: DesignRequest, size: PromptSize
) -> list[Message]:
    """Return the prompt for a design in the request's mode.

    If it is longer than the size allows, recipes are shortened to the functions that the parent has; then whole
    sections are left out in this order: refused attempts but the last (oldest first), nodes shown beside the parent
    (last first; a crossover keeps the first), priors (last first), metrics beside the score (last first), what was
    tried before (oldest first) and failed, lines that came back (last first), what was tried in a standstill (smallest
    group first), hints (oldest first), the evaluator's words, the output of a failed program, the last refused attempt.

    Raises:
        PromptTooLong: the task and the programs that the mode needs do not fit.
        TaskError: a template of the task is wrong.
    """
    language, context = spec.language, design_context(spec, brief, request)
    functions = context["functions"]
    partners = 1 if request.mode == "crossover" else 0
    order: list[_Shed] = [
        ("rejections", 0, 1),
        ("inspirations", -1, partners),
        ("priors", -1, 0),
        ("measured", -1, 0),
        ("tried", 0, 0),
        ("failed", -1, 0),
        ("returned", -1, 0),
        ("in_vain", -1, 0),
        ("hints", 0, 0),
        ("feedback", 0, 0),
        ("error", 0, 0),
        ("rejections", 0, 0),
    ]
    name, what = f"researcher_{request.mode}", f"node {request.parent.id}"
    is_brief = size.brief and language.has_functions
    if is_brief:
        name = "researcher_brief"
        required = spec.interface.functions + spec.interface.classes
        context |= small_part(request, functions, language, required) | {"brief": lead_of(brief)}
        del order[1]
    shorter = [{"title": prior.title, "body": prior_body(prior, language, functions)} for prior in request.priors]
    return _fit(prompts, name, context, order, size, what, {"priors": shorter} if not is_brief else {})


def design_context(spec: TaskSpec, brief: str, request: DesignRequest) -> dict[str, Any]:
    """Return the variables of the templates for a design, but for `part`."""
    parent, language = request.parent, spec.language
    beside = [_as_change(node, parent) for node in request.inspirations]
    return {
        **_task_variables(spec, brief),
        "metrics_told": metrics_told(spec),
        "ranked_by": request.ranking.key if request.ranking is not None else "score",
        "require": [f"{name} {text.strip()}" for name, text in request.require.items()],
        "objectives": list(request.objectives),
        "mode": request.mode,
        "forms": _forms(request),
        "parent": parent,
        "origin_change": change_of(request.origin.code, parent.code, language) if request.origin is not None else "",
        "origin": request.origin,
        "functions": functions_of(parent.code, language),
        "error": parent.error,
        "feedback": parent.feedback,
        "inspirations": beside,
        "priors": [{"title": prior.title, "body": prior_body(prior, language)} for prior in request.priors],
        "hints": list(request.hints),
        "best": request.best,
        "measured": measured(spec, parent, request.best, request.inspirations),
        "tried": [f"{item.name}: {item.outcome}" for item in request.tried],
        "failed": [f"{item.count} × {item.told}" for item in request.failed[:_FAILURES_SHOWN]],
        "in_vain": list(request.in_vain),
        "returned": list(request.returned),
        "standing": request.standing,
        "rejections": _rejections(request),
    }


def again_prompt(prompts: Prompts, spec: TaskSpec, brief: str, request: DesignRequest) -> list[Message]:
    """Return what is said of the last refused attempt to a model that has its prompt and its answer before it.

    Raises:
        TaskError: a template of the task is wrong.
    """
    last = request.rejections[-1]
    rejection = {"check": last.check, "reason": last.reason}
    context = {**_task_variables(spec, brief), "mode": request.mode, "parent": request.parent, "rejection": rejection}
    return prompts.messages("researcher_again", context)[1:]


def analyzer_prompt(prompts: Prompts, brief: str, facts: Facts, size: PromptSize, problem: str = "") -> list[Message]:
    """Return the prompt for the report on a node.

    If it is too long, sections are left out in this order: the evaluation's stdout, the curve, its stderr, its
    feedback, the best node, the change itself.

    Args:
        prompts: the templates.
        brief: the problem statement.
        facts: the facts about the node.
        size: how long the prompt may be.
        problem: why the answer to an earlier prompt could not be used.

    Raises:
        PromptTooLong: the task alone does not fit.
        TaskError: a template of the task is wrong.
    """
    node = facts.node
    context: dict[str, Any] = {
        **_task_variables(facts.spec, lead_of(brief) if size.brief else brief),
        "ranked_by": facts.ranked_by.key,
        "node": node,
        "parent": facts.parent,
        "best": facts.best if facts.best is not None and facts.best.id != node.id else None,
        "program": "" if facts.parent is not None else facts.code,
        "change": change_of(facts.parent_code, facts.code, facts.spec.language) if facts.parent is not None else "",
        "metrics": _metrics(node.metrics, facts.parent.metrics if facts.parent is not None else {}),
        "curve": _thinned(facts.curve),
        "stdout": facts.stdout[-_OUTPUT_SHOWN:].strip(),
        "stderr": facts.stderr[-_OUTPUT_SHOWN:].strip(),
        "feedback": facts.feedback[-_OUTPUT_SHOWN:].strip(),
        "problem": problem,
    }
    order: list[_Shed] = [
        (name, 0, 0) for name in ("stdout", "curve", "stderr", "feedback", "best", "change", "program")
    ]
    return _fit(prompts, "analyzer", context, order, size, f"the report on node {node.id}")


def judge_prompt(
    prompts: Prompts,
    spec: TaskSpec,
    brief: str,
    criteria: Sequence[Criterion],
    code: str,
    metrics: Mapping[str, Any],
    size: PromptSize,
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
    return _fit(prompts, "judge", context, [], size, "the program to be judged")


def _fit(
    prompts: Prompts,
    name: str,
    context: dict[str, Any],
    order: Sequence[_Shed],
    size: PromptSize,
    what: str,
    shorter: Mapping[str, Any] | None = None,
) -> list[Message]:
    """Render a prompt; shorten it, then leave out sections, until it is as long as it should be.

    Raises:
        PromptTooLong: nothing is left to leave out, and it is longer than it may be.
    """
    sheds = iter(order)
    shed = next(sheds, None)
    while True:
        messages = prompts.messages(name, context)
        tokens = most_tokens(messages)
        if tokens <= size.goal:
            return messages
        if shorter:
            context, shorter = {**context, **shorter}, None
            continue
        while shed is not None and not _leave_out(context, *shed):
            shed = next(sheds, None)
        if shed is None:
            if tokens <= size.room:
                return messages
            raise PromptTooLong(
                f"{what} and the task take about {tokens} tokens, and the model's context has room for "
                f"{max(size.room, 0)}: raise `context_tokens` or lower `max_tokens` of the model, or use one with a "
                "longer context"
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


def _forms(request: DesignRequest) -> list[str]:
    """Return the forms of answers that this run asks for, so that all its prompts begin alike."""
    forms = {"edits" if mode == "diff" else "program" for mode in request.modes}
    return [form for form in ("program", "edits") if form in forms]


def _as_change(node: ContextNode, parent: ContextNode) -> dict[str, Any]:
    """Return a node with its difference to the parent, where that is shorter than its program."""
    shown: dict[str, Any] = {name: getattr(node, name) for name in node.__dataclass_fields__}
    return {**shown, "told": node.told, "change": shorter_change(parent.code, node.code)}


def _rejections(request: DesignRequest) -> list[dict[str, str]]:
    """Return earlier attempts with their reasons; the last with its program, unless that was a duplicate."""
    shown = []
    for number, rejection in enumerate(request.rejections, start=1):
        code = rejection.code if number == len(request.rejections) and rejection.check != "duplicate" else ""
        shown.append({"check": rejection.check, "reason": rejection.reason, "code": code})
    return shown


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
