"""Have a model analyze a node; if it fails, the rules do and the note says so."""

from __future__ import annotations

import dataclasses

from engine.analyzers.report import Proposal, Report
from engine.analyzers.rules import analyze_by_rules, outcome_of
from engine.llm.answers import REPORT_SCHEMA, AnswerError, Findings, parse_report
from engine.llm.messages import Ask, CallFailed
from engine.llm.prompts import Prompts, PromptTooLong, analyzer_prompt
from engine.llm.requests import Facts
from engine.text import one_line

__all__ = ["analyze_by_model"]

_LESSON_LENGTH = 220
_OUTCOME_LENGTH = 120


async def analyze_by_model(ask: Ask, prompts: Prompts, brief: str, facts: Facts, room: int) -> Report:
    """Have a model report on a node; after an unusable answer ask once more, with the reason.

    Args:
        ask: asks a model on behalf of the node.
        prompts: the templates.
        brief: the problem statement.
        facts: the facts about the node.
        room: tokens that the prompt may have.

    Raises:
        Stopping: the engine is ending.
        TaskError: a template of the task is wrong.
    """
    problem = ""
    # A node that is measured again gets another report.
    key = f"analyze/{facts.node.measurements}"
    for attempt in (key, f"{key}/repair"):
        try:
            messages = analyzer_prompt(prompts, brief, facts, room, problem)
            answer = await ask("analyzer", messages, key=attempt, schema=REPORT_SCHEMA)
        except (CallFailed, PromptTooLong) as exc:
            problem = str(exc)
            break
        if answer.refused:
            problem = "the model declined to answer"
            break
        try:
            return _report(facts, parse_report(answer.text), answer.model)
        except AnswerError as exc:
            problem = "the answer was cut off; be much shorter" if answer.truncated else str(exc)
    report = analyze_by_rules(facts)
    told = f"*Written by the rules, since there is no report of a model: {one_line(problem, 300)}.*"
    return dataclasses.replace(report, note=f"{told}\n\n{report.note}")


def _report(facts: Facts, found: Findings, model: str) -> Report:
    parts = [found.note]
    if found.causes:
        parts.append("Causes:\n\n" + "\n".join(f"- {cause}" for cause in found.causes))
    if found.next_step:
        parts.append(f"Next: {found.next_step}")
    evidence = [facts.node.id] + ([facts.parent.id] if facts.parent is not None else [])
    # Add our figures: a model may get its own wrong, and later rounds build on them.
    lesson = f"{one_line(found.lesson, _LESSON_LENGTH)} [{one_line(outcome_of(facts), _OUTCOME_LENGTH)}]"
    return Report(
        lesson=lesson,
        note="\n\n".join(part for part in parts if part),
        analyzer=model,
        proposals=[Proposal(idea.title, idea.body, evidence) for idea in found.priors],
    )
