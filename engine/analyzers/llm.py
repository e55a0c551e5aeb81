"""Have a model analyze a node; if it fails, the rules do and the note says so."""

from __future__ import annotations

from dataclasses import replace

from engine.analyzers.report import Proposal, Report
from engine.analyzers.rules import analyze_by_rules, is_unchanged, outcome_of
from engine.llm.answers import REPORT_SCHEMA, AnswerError, Findings, parse_report
from engine.llm.json_parts import is_placeholder
from engine.llm.messages import Ask, CallFailed, Message, PromptSize
from engine.llm.prompts import Prompts, PromptTooLong, analyzer_prompt, form_of, without_echo
from engine.llm.requests import Facts
from engine.text import one_line

__all__ = ["analyze_by_model", "filled_in", "report_of"]

_LESSON_LENGTH = 220
_OUTCOME_LENGTH = 120


async def analyze_by_model(ask: Ask, prompts: Prompts, brief: str, facts: Facts) -> Report:
    """Have a model report on a node; after an unusable answer ask once more, with the reason.

    Args:
        ask: asks a model on behalf of the node.
        prompts: the templates.
        brief: the problem statement.
        facts: the facts about the node.

    Raises:
        Stopping: the engine is ending.
        TaskError: a template of the task is wrong.
    """
    problem, form = "", ""

    def write(size: PromptSize) -> list[Message]:
        nonlocal form
        messages = analyzer_prompt(prompts, brief, facts, size, problem)
        form = form_of(messages)
        return messages

    # A node that is measured again gets another report.
    key = f"analyze/{facts.node.measurements}"
    for attempt in (key, f"{key}/repair"):
        try:
            answer = await ask("analyzer", write, key=attempt, schema=REPORT_SCHEMA)
            # An earlier engine may have asked.
            form = form or form_of(write(PromptSize(1 << 40)))
        except (CallFailed, PromptTooLong) as exc:
            problem = str(exc)
            break
        if answer.refused:
            problem = "the model declined to answer"
            break
        try:
            found = parse_report(without_echo(answer.text, form), truncated=answer.truncated)
            return report_of(facts, filled_in(found), answer.model)
        except AnswerError as exc:
            problem = "the answer was cut off; be much shorter" if answer.truncated else str(exc)
    report = analyze_by_rules(facts)
    told = f"*Written by the rules, since there is no report of a model: {one_line(problem, 300)}.*"
    return replace(report, note=f"{told}\n\n{report.note}")


def filled_in(found: Findings) -> Findings:
    """Return findings without dots that stand in the place of text.

    Raises:
        AnswerError: the lesson is nothing else.
    """
    if is_placeholder(found.lesson):
        raise AnswerError("the lesson is not filled in; write one about this program")
    causes = tuple(cause for cause in found.causes if not is_placeholder(cause))
    return replace(found, causes=causes, next_step="" if is_placeholder(found.next_step) else found.next_step)


def report_of(facts: Facts, found: Findings, model: str) -> Report:
    """Return the report on a node that a model's findings make, with our figures in it."""
    parts = [found.note]
    if found.causes:
        parts.append("Causes:\n\n" + "\n".join(f"- {cause}" for cause in found.causes))
    if found.next_step:
        parts.append(f"Next: {found.next_step}")
    evidence = [facts.node.id] + ([facts.parent.id] if facts.parent is not None else [])
    # Our figures come first: a model may get its own wrong, and later rounds build on them. Where nothing was gained or
    # lost, whatever a model claims of the change was not measured.
    unchanged = is_unchanged(facts)
    said = facts.node.name if unchanged else found.lesson
    return Report(
        lesson=f"{one_line(outcome_of(facts), _OUTCOME_LENGTH)}: {one_line(said, _LESSON_LENGTH)}",
        note="\n\n".join(part for part in parts if part),
        analyzer=model,
        causes=() if unchanged else found.causes,
        next_step=found.next_step,
        proposals=[Proposal(idea.title, idea.body, evidence) for idea in found.priors],
    )
