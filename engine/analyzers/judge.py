"""Have a model judge a program by the task's criteria. A failed judgement gives no mark, never a neutral one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.llm.answers import AnswerError, Judgement, judgement_schema, parse_judgement
from engine.llm.json_parts import is_placeholder
from engine.llm.messages import Ask, CallFailed, Message, PromptSize
from engine.llm.prompts import Prompts, PromptTooLong, judge_prompt
from engine.task.spec import Criterion, TaskSpec

__all__ = ["Mark", "judge_program"]


@dataclass(frozen=True)
class Mark:
    """A judge's mark and reasons."""

    value: float | None
    """From 0 to 1: the mean of the criteria by their weights; None if the judgement failed."""
    judged: dict[str, Judgement] = field(default_factory=dict)
    """Score and reason of each criterion."""
    problem: str = ""
    """The reason if there is no mark."""


async def judge_program(
    ask: Ask,
    prompts: Prompts,
    spec: TaskSpec,
    brief: str,
    code: str,
    metrics: Mapping[str, Any],
    key: str = "judge",
) -> Mark:
    """Have a program judged; after an unusable answer ask once more, with the reason.

    Args:
        ask: asks a model on behalf of the node.
        prompts: the templates.
        spec: the task; it has criteria.
        brief: the problem statement.
        code: the program.
        metrics: its measured metrics.
        key: names this judgement among those of the same node.

    Raises:
        Stopping: the engine is ending.
        TaskError: a template of the task is wrong.
    """
    assert spec.judge is not None
    criteria = spec.judge.criteria
    names = [criterion.name for criterion in criteria]
    problem = ""

    def write(size: PromptSize) -> list[Message]:
        return judge_prompt(prompts, spec, brief, criteria, code, metrics, size, problem)

    for attempt in (key, f"{key}/repair"):
        try:
            answer = await ask("judge", write, key=attempt, schema=judgement_schema(names))
        except (CallFailed, PromptTooLong) as exc:
            return Mark(None, problem=str(exc))
        if answer.refused:
            return Mark(None, problem="the model declined to judge")
        try:
            judged = _own(parse_judgement(answer.text, names))
        except AnswerError as exc:
            problem = "the answer was cut off; give shorter reasons" if answer.truncated else str(exc)
        else:
            return Mark(_blend(criteria, judged), judged)
    return Mark(None, problem=problem)


def _own(judged: dict[str, Judgement]) -> dict[str, Judgement]:
    """Return a judgement if its reasons are the model's own.

    Raises:
        AnswerError: it repeats the example of the prompt, whose scores are no marks.
    """
    for name, judgement in judged.items():
        if is_placeholder(judgement.reason):
            raise AnswerError(
                f"'{name}' has no reason; look at the program, and give each score with a reason of yours"
            )
    return judged


def _blend(criteria: Sequence[Criterion], judged: Mapping[str, Judgement]) -> float:
    whole = sum(criterion.weight for criterion in criteria)
    return sum(criterion.weight * judged[criterion.name].score for criterion in criteria) / whole
