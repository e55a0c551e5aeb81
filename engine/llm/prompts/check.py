"""Check a task's own prompts for `evolve check`: render each with all that a prompt can hold, and with the least."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from cognition.prior import parse_prior
from engine.errors import TaskError
from engine.llm.messages import Message, PromptSize
from engine.llm.prompts.build import again_prompt, analyzer_prompt, judge_prompt, researcher_prompt
from engine.llm.prompts.templates import TEMPLATES, Prompts
from engine.llm.requests import ContextNode, DesignRequest, Facts, Failed, Mode, Rejection, Standing, Tried
from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.task.spec import Criterion, Task

__all__ = ["check_prompts"]

_SIZES = (PromptSize(1_000_000), PromptSize(1_000_000, brief=True))
_MODES: tuple[Mode, ...] = ("full", "diff", "crossover", "fix")


def check_prompts(task: Task) -> list[tuple[str, str]]:
    """Return problems of a task's own prompts as pairs of file and problem; empty if all can be rendered."""
    folder = task.folder / "prompts"
    if not folder.is_dir():
        return []
    problems: list[tuple[str, str]] = []
    known = {f"{name}.j2" for name in TEMPLATES}
    for path in sorted(folder.iterdir()):
        # Parts that templates include or extend may have any name that begins with an underscore.
        if path.name not in known and not path.name.startswith(("_", ".")):
            problems.append((f"prompts/{path.name}", f"no prompt has this name; there are {', '.join(sorted(known))}"))
    if any((folder / name).is_file() for name in known):
        problems += _render_all(task, Prompts(folder))
    return problems


def _render_all(task: Task, prompts: Prompts) -> Iterator[tuple[str, str]]:
    told = set()
    for render in _samples(task, prompts):
        try:
            messages = render()
        except TaskError as exc:
            if exc.message not in told:
                told.add(exc.message)
                file, _, problem = exc.message.partition(": ")
                yield file.replace(f"{task.folder}/", ""), problem
            continue
        empty = [message.role for message in messages if not message.content.strip()]
        if empty:
            yield "prompts", f"the {' and the '.join(empty)} part of a prompt is empty; a template gets both in `part`"
            return


def _samples(task: Task, prompts: Prompts) -> Iterator[Callable[[], list[Message]]]:
    code = task.seeds[0].code
    for mode in _MODES:
        for request, size in product((_full_request(code, mode), _bare_request(code, mode)), _SIZES):
            yield partial(researcher_prompt, prompts, task.spec, task.brief, request, size)
        yield partial(again_prompt, prompts, task.spec, task.brief, _full_request(code, mode))
    for facts in _facts(task, code):
        yield partial(analyzer_prompt, prompts, task.brief, facts, _SIZES[0])
    criteria = task.spec.judge.criteria if task.spec.judge else [Criterion(name="clarity", text="It can be read.")]
    yield lambda: judge_prompt(prompts, task.spec, task.brief, criteria, code, {"score": 1.0}, _SIZES[0], "no scores")


def _node(code: str, number: int, status: str = "ok") -> ContextNode:
    return ContextNode(
        id=number,
        code=code,
        status=status,
        score=1.0 if status == "ok" else None,
        lesson="a lesson",
        motivation="a motivation",
        metrics={"score": 1.0},
        reason="" if status == "ok" else "ValueError: no",
        error="" if status == "ok" else "Traceback (most recent call last):\nValueError: no",
        fitness=0.5 if status == "ok" else None,
        causes=("a cause",),
        next_step="a step",
        feedback="what the evaluator says",
        why="better by 1",
        broken="loss = 3 breaks <= parent * 1.05 = 2.1",
    )


def _full_request(code: str, mode: Mode) -> DesignRequest:
    return DesignRequest(
        round=2,
        attempt=1,
        seed=0,
        parent=_node(code, 1, "crashed" if mode == "fix" else "ok"),
        inspirations=[_node(code, 2), _node(code, 3)],
        priors=[parse_prior("prior", "# A title\n\nWhat is known.\n")],
        rejections=[Rejection("duplicate", "the same program as node 1", code), Rejection("syntax", "line 1", "x =")],
        hints=["a hint"],
        mode=mode,
        ranking=Ranking(by_fitness=True),
        require={"loss": "<= parent * 1.05"},
        objectives=("loss (lower is better)", "speed (higher is better)"),
        best=_node(code, 4),
        origin=_node(code, 5),
        tried=[Tried("a change", "crashed: ValueError: no")],
        failed=[Failed("crashed: ValueError: no", 2)],
        standing=Standing(2, 4, 9, 3, ((4, 1.0), (2, 0.5)), 2.0),
        in_vain=["5 ×: a larger step"],
        returned=["step = 0.5   (deleted in #1, back in #2: worse by 1)"],
    )


def _bare_request(code: str, mode: Mode) -> DesignRequest:
    parent = ContextNode(1, code, "crashed" if mode == "fix" else "ok", None if mode == "fix" else 1.0)
    others = [ContextNode(2, code, "ok", 0.5)] if mode == "crossover" else []
    return DesignRequest(round=1, attempt=0, seed=0, parent=parent, inspirations=others, priors=[], mode=mode)


def _facts(task: Task, code: str) -> Iterator[Facts]:
    def node(number: int, status: str, score: float | None) -> Node:
        made = Node(number, number, (0,) if number else (), "", "full", "a name", "a motivation", (), 0)
        made.status, made.score, made.lesson = status, score, "a lesson"  # type: ignore[assignment]
        made.metrics, made.reason = {"score": 1.0}, "" if score is not None else "ValueError: no"
        return made

    yield Facts(
        spec=task.spec,
        node=node(1, "ok", 1.0),
        code=f"{code}\nADDED = 1\n",
        parent=node(0, "ok", 0.5),
        parent_code=code,
        best=node(2, "ok", 2.0),
        stdout="printed",
        stderr="warned",
        feedback="too slow",
        curve=[(1.0, {"loss": 0.5}), (None, {"loss": 0.25})],
        ranking=Ranking(by_fitness=True),
    )
    yield Facts(spec=task.spec, node=node(0, "crashed", None), code=code)
