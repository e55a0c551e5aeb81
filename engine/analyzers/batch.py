"""Have a model report on several nodes with one call; a node that its answer leaves out is asked for alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.analyzers.llm import analyze_by_model, filled_in, report_of
from engine.analyzers.report import Report
from engine.llm.answers import REPORT_SCHEMA, AnswerError, parse_report
from engine.llm.json_parts import in_object, json_object
from engine.llm.messages import Ask, CallFailed, Message, PromptSize
from engine.llm.prompts import Prompts, PromptTooLong, analyzer_prompt
from engine.llm.requests import Facts
from engine.llm.thoughts import without_thoughts

__all__ = ["analyze_batch"]

_FORM = "# Your answer"
_ASKED = """\
# Your answer

Above are {count} programs: {names}. Answer with one JSON object and nothing else, with a report on each of them:

{{"reports": [{example}]}}

- node: the program's number.
- lesson: one sentence of at most 40 words that others can use: what was changed, and why it did to the score what the \
figures show. The figures themselves are added.
- causes: what made the result, the most important first, each in a few words.
- next_step: the one change that is most worth trying next.
- note: a short paragraph for people, in Markdown.
- priors: nearly always empty. Only for knowledge that will hold for many other programs: {{"title": "…", "body": "…"}}.
"""
_EXAMPLE = (
    '{{"node": {node}, "lesson": "Halving STEP stops too early: the 200 steps no longer reach the optimum.", '
    '"causes": ["too few steps"], "next_step": "halve STEP and double the steps", "note": "The curve still falls.", '
    '"priors": []}}'
)
_ONE = {**REPORT_SCHEMA, "properties": {"node": {"type": "integer"}, **REPORT_SCHEMA["properties"]},
        "required": ["node", *REPORT_SCHEMA["required"]]}  # fmt: skip
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reports": {"type": "array", "items": _ONE}},
    "required": ["reports"],
    "additionalProperties": False,
}


async def analyze_batch(
    ask_for: Callable[[Facts], Ask], prompts: Prompts, brief: str, nodes: Sequence[Facts]
) -> list[Report]:
    """Return a report on each of some nodes.

    Args:
        ask_for: returns what asks a model on behalf of a node; the last one's asks for all.
        prompts: the templates.
        brief: the problem statement.
        nodes: the facts about the nodes.

    Raises:
        Stopping: the engine is ending.
        TaskError: a template of the task is wrong.
    """

    def write(size: PromptSize) -> list[Message]:
        count = len(nodes)
        share = replace(size, room=size.room // count, aim=None if size.aim is None else size.aim // count)
        written = [analyzer_prompt(prompts, brief, facts, share) for facts in nodes]
        shown = [messages[-1].content.partition(f"\n{_FORM}")[0].rstrip() for messages in written]
        example = ", ".join(_EXAMPLE.format(node=facts.node.id) for facts in nodes[:1]) + ", …"
        names = ", ".join(f"#{facts.node.id}" for facts in nodes)
        asked = _ASKED.format(count=count, names=names, example=example)
        return [*written[0][:-1], Message("user", "\n\n".join([*shown, asked]))]

    found: dict[int, Report] = {}
    try:
        last = nodes[-1]
        key = f"analyze/batch/{len(nodes)}/{nodes[0].node.id}-{last.node.id}"
        answer = await ask_for(last)("analyzer", write, key=key, schema=_SCHEMA)
        if not answer.refused:
            found = _read(answer.text, answer.truncated, answer.model, nodes)
    except (CallFailed, PromptTooLong, AnswerError):
        # Each node is asked for alone, and says what is wrong if that fails too.
        pass
    return [
        found.get(facts.node.id) or await analyze_by_model(ask_for(facts), prompts, brief, facts) for facts in nodes
    ]


def _read(text: str, truncated: bool, model: str, nodes: Sequence[Facts]) -> dict[int, Report]:
    """Return the usable reports of an answer, by node; those without a number are taken in order."""
    whole = json_object(without_thoughts(text, in_object), "reports", mend=not truncated) or {}
    items = whole.get("reports")
    found: dict[int, Report] = {}
    for place, item in enumerate(items if isinstance(items, list) else []):
        by_number = {facts.node.id: facts for facts in nodes}
        if not isinstance(item, dict):
            continue
        facts = by_number.get(item["node"]) if isinstance(item.get("node"), int) else None
        if facts is None and "node" not in item and place < len(nodes):
            facts = nodes[place]
        if facts is None or facts.node.id in found:
            continue
        try:
            found[facts.node.id] = report_of(facts, filled_in(parse_report(json.dumps(item))), model)
        except AnswerError:
            continue
    return found
