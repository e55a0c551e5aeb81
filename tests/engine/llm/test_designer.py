"""The Researcher, mixed search, the Analyzer and the judge, with scripted answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analyzers.judge import judge_program
from engine.analyzers.llm import analyze_by_model
from engine.analyzers.report import Report
from engine.designers.base import Design, DesignerError, NothingToDesign
from engine.designers.llm import LlmDesigner
from engine.designers.mixed import MixedDesigner
from engine.designers.recombine import RecombineDesigner
from engine.errors import TaskError
from engine.journal.events import DesignDone, EvalDone, Event
from engine.llm.answers import REPORT_SCHEMA
from engine.llm.messages import Answer, CallFailed, PromptSize, Role, WritePrompt
from engine.llm.parts import put_parts
from engine.llm.prompts import Prompts
from engine.llm.requests import ContextNode, DesignRequest, Facts, Mode, Rejection
from engine.programs.outline import outline
from engine.runs.presets import find_preset
from engine.settings.model import ModeWeights, merge_settings
from engine.settings.models import ModelSpec
from engine.state.node import Node
from engine.task.spec import Criterion, JudgeSpec, TaskSpec
from tests.engine.designers.programs import SEED, SEEDS, SPEC
from tests.engine.designers.programs import request as recombine_request

BRIEF = "Make total() large."
SIZE = PromptSize(20_000)


class Script:
    """Give answers in order, and keep the prompts."""

    def __init__(self, *answers: str | Answer | Exception, size: PromptSize = SIZE) -> None:
        self.answers, self.size = list(answers), size
        self.calls: list[tuple[Role, str, dict[str, Any] | None]] = []
        self.prompts: list[str] = []

    async def __call__(
        self,
        role: Role,
        write: WritePrompt,
        *,
        key: str,
        models: Mapping[str, float] | None = None,
        schema: dict[str, Any] | None = None,
    ) -> Answer:
        prompt = "\n".join(message.content for message in write(self.size))
        self.calls.append((role, key, schema))
        self.prompts.append(prompt)
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else answer(given)


def answer(text: str, refused: bool = False, truncated: bool = False) -> Answer:
    return Answer(text, "", "fast", 10, 10, 0.0, refused, truncated)


def ask_for(script: Script, mode: Mode = "full", **fields: Any) -> DesignRequest:
    rejections: list[Rejection] = fields.get("rejections", [])
    return DesignRequest(
        round=4,
        attempt=len(rejections),
        seed=7,
        parent=ContextNode(3, SEED, "crashed" if mode == "fix" else "ok", None if mode == "fix" else 1.0),
        inspirations=[ContextNode(5, SEED.replace("0.75", "0.5"), "ok", 0.5)],
        priors=[],
        mode=mode,
        ask=script,
        rejections=rejections,
    )


def designer() -> LlmDesigner:
    return LlmDesigner(SPEC, BRIEF, Prompts())


WHOLE = "<name>twice</name>\n<motivation>More.</motivation>\n<program>\ndef total():\n    return 2\n</program>\n"
HUNK = "<<<<<<< SEARCH\ndef third():\n    return 1\n=======\ndef third():\n    return 3\n>>>>>>> REPLACE\n"
EDIT = f"<name>rate</name>\n{HUNK}"


async def design(*answers: str | Answer | Exception, mode: Mode = "full", **fields: Any) -> tuple[Design, Script]:
    script = Script(*answers)
    return await designer().design(ask_for(script, mode, **fields)), script


@pytest.mark.parametrize(
    ("mode", "role", "parents"),
    [("full", "researcher", [3]), ("crossover", "researcher", [3, 5]), ("fix", "fixer", [3])],
)
async def test_whole_program_is_read(mode: Mode, role: Role, parents: list[int]) -> None:
    made, script = await design(WHOLE, mode=mode)
    assert made == Design("def total():\n    return 2\n", mode, "twice", "More.", parents)
    assert script.calls == [(role, "design/0", None)]


async def test_edits_are_applied_to_parent() -> None:
    made, _ = await design(EDIT, mode="diff")
    assert made.code == SEED.replace("return 1\n", "return 3\n")
    assert (made.operator, made.name, made.parents) == ("diff", "rate", [3])


async def test_whole_program_is_accepted_in_place_of_edits() -> None:
    made, _ = await design(WHOLE, mode="diff")
    assert made.operator == "full"
    assert made.code == "def total():\n    return 2\n"


PARTS = """\
Two parts change.

```python
import math
import statistics

def _helper(x):
    return statistics.fmean([x, 1])

def third():
    return _helper(3)
```

and

```python
@staticmethod
def first(x):
    return x
RATE = 0.25  # less
```
"""


async def test_written_functions_replace_those_with_same_name() -> None:
    made, _ = await design(PARTS, mode="diff")
    assert made.operator == "diff"
    before, after = SEED.split("\n"), made.code.split("\n")
    gone = ["RATE = 0.5  # tune: scale 0.1..0.9", '    """Scale a number."""', "    return x * RATE", "    return 1"]
    assert [line for line in before if line not in after] == gone
    assert after[:4] == ['"""A sum of parts."""', "", "import math", "import statistics"]
    assert made.code.index("def _helper") < made.code.index("def second") < made.code.index("_helper(3)")
    assert "    # Kept: a comment inside." in after
    outline(made.code)
    # A model that writes a few functions when asked for the whole program means the same.
    asked_for_all, _ = await design(PARTS, mode="full")
    assert (asked_for_all.code, asked_for_all.operator) == (made.code, "diff")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```python\ndef fourth():\n    return 3\n```", "has the name of a part"),
        ("```python\ndef third():\n    return 3\nprint(third())\n```", "line 3 of the answer's code defines nothing"),
        ("```python\ndef third():\n    return 3\n```\n```\ndef first(x:\n```", "code block 2"),
        ("```python\ndef third():\n    return 3\n```\n```\ndef third():\n    return 4\n```", "defines a name twice"),
        ("```python\ndef third(:\n```", "not valid Python"),
        ("Use a smaller rate.", "neither a SEARCH/REPLACE block nor a function"),
    ],
)
async def test_parts_that_cannot_be_applied_are_reported(text: str, told: str) -> None:
    with pytest.raises(DesignerError, match=told) as caught:
        await design(text, mode="diff")
    assert caught.value.check == "answer"


@pytest.mark.parametrize(
    "given",
    [
        answer("Use a smaller rate."), answer("<program>\ndef total(:\n"), answer("<program>\n\n</program>"),
        answer("<program>\ndef total():\n", truncated=True), answer('{"program": 3}'),
        replace(answer("def total():\n" * 50, truncated=True), ended_by="repetition"),
    ],
)  # fmt: skip
async def test_refusal_of_edits_asks_for_edits_and_never_for_a_program(given: Answer) -> None:
    with pytest.raises(DesignerError) as caught:
        await design(given, mode="diff")
    told = str(caught.value)
    assert "program>" not in told and "whole program" not in told
    assert "SEARCH/REPLACE blocks, or whole functions" in told
    if given.ended_by:
        assert "said the same over and over" in told


async def test_program_with_unbound_names_is_refused_before_evaluation() -> None:
    with pytest.raises(DesignerError, match="uses JITTER, which nothing in it defines") as caught:
        await design("```python\ndef third():\n    return JITTER\n```", mode="diff")
    assert caught.value.check == "static"


async def test_unbound_name_of_parent_is_accepted() -> None:
    seed = SEED + "\n\ndef unused():\n    return np.zeros(3)\n"
    parent = ContextNode(3, seed, "ok", 1.0)
    asked = DesignRequest(**{**vars(ask_for(Script(HUNK), "diff")), "parent": parent})
    made = await designer().design(asked)
    assert made.code == seed.replace("return 1\n", "return 3\n")
    worse = HUNK.replace("return 3", "return np.ones(JITTER)")
    asked = DesignRequest(**{**vars(ask_for(Script(worse), "diff")), "parent": parent})
    with pytest.raises(DesignerError, match="uses JITTER, which"):
        await designer().design(asked)


@given(st.integers(0, 20), st.integers(0, 20))
def test_parts_of_any_change_give_program_with_that_change(one: int, other: int) -> None:
    """Inserted parts appear as written, and everything else is unchanged."""
    code = f"def third():\n    return {one}\n\n\nADDED = {other}\n"
    put = put_parts(code, SEED)
    new, old, written = outline(put).parts, outline(SEED).parts, outline(code).parts
    assert new == {**old, **written}
    assert put_parts(code, put) == put


async def test_unnamed_design_is_named_by_its_changes() -> None:
    made, _ = await design(HUNK, mode="diff")
    assert made.name == "changed third"
    assert made.motivation


@pytest.mark.parametrize(
    ("given", "check", "told"),
    [
        (answer(WHOLE[:90], truncated=True), "answer", "cut off"),
        (answer("I can't help with that.", refused=True), "answer", "declined to answer: I can't help"),
        (answer(""), "answer", "empty"),
        (answer("Use annealing."), "answer", "no program"),
        (CallFailed("context", "too many tokens"), "designer", "too many tokens"),
    ],
)
async def test_unusable_answer_counts_as_attempt(given: Answer | Exception, check: str, told: str) -> None:
    with pytest.raises(DesignerError, match=told) as caught:
        await design(given)
    assert caught.value.check == check


async def test_next_prompt_gives_reason_of_last_rejection() -> None:
    twin = Rejection("duplicate", "the same program as node 3", SEED)
    _, script = await design(WHOLE, rejections=[twin, Rejection("answer", "block 1 has no line", "")])
    assert script.calls[0][1] == "design/2"
    assert "the same program as node 3" in script.prompts[0]
    assert "block 1 has no line" in script.prompts[0]


async def test_prompt_without_room_and_missing_model_are_reported() -> None:
    script = Script(WHOLE, size=PromptSize(100))
    with pytest.raises(DesignerError, match="context_tokens"):
        await designer().design(ask_for(script))
    assert script.calls == []
    bare = ask_for(script)
    with pytest.raises(DesignerError, match="no model"):
        await designer().design(DesignRequest(**{**vars(bare), "ask": None}))


async def test_invalid_template_raises_task_error(tmp_path: Any) -> None:
    (tmp_path / "researcher_full.j2").write_text("{{ nothing }}")
    made = LlmDesigner(SPEC, BRIEF, Prompts(tmp_path))
    with pytest.raises(TaskError, match=r"researcher_full\.j2:1: .*'nothing' is undefined"):
        await made.design(ask_for(Script(WHOLE)))


# Mixed search


@pytest.fixture
async def recombine() -> AsyncIterator[RecombineDesigner]:
    made = RecombineDesigner(SPEC, SEEDS, gained=lambda node, parent: False)
    yield made
    await made.aclose()


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 4, 16), (1.0, 20, 20)])
async def test_recombination_writes_its_share(
    recombine: RecombineDesigner, share: float, least: int, most: int
) -> None:
    script = Script(*[WHOLE] * 20)
    mixed = MixedDesigner(designer(), recombine, lambda: share)
    operators = []
    for seed in range(20):
        asked = recombine_request(seed)
        mode: Mode = ("full", "diff")[seed % 2]
        made = await mixed.design(DesignRequest(**{**vars(asked), "ask": script, "mode": mode}))
        operators.append(made.operator)
    by_model = operators.count("full")
    assert by_model == len(script.calls)
    assert least <= 20 - by_model <= most
    assert set(operators) <= {"full", "tune", "swap", "exchange", "drop"}


async def test_model_writes_if_recombination_is_exhausted(recombine: RecombineDesigner) -> None:
    plain = "def total():\n    return 1\n"
    asked = recombine_request(0, plain, priors=[], all_priors=True)
    with pytest.raises(NothingToDesign):
        await recombine.design(asked)
    script = Script(WHOLE)
    made = await MixedDesigner(designer(), recombine, lambda: 0.999).design(
        DesignRequest(**{**vars(asked), "ask": script, "mode": "full"})
    )
    assert made.operator == "full"
    assert len(script.calls) == 1


async def test_both_designers_learn_from_every_outcome(recombine: RecombineDesigner) -> None:
    noted: list[Event] = []

    class Noting(LlmDesigner):
        def apply(self, event: Event) -> None:
            noted.append(event)

    mixed = MixedDesigner(Noting(SPEC, BRIEF, Prompts()), recombine, lambda: 1.0)
    before = await mixed.design(recombine_request(3))
    done = DesignDone(program="", operator="x", name="", motivation="", parents=[0], credit=before.credit)
    events = [Event(1, 0, 1, 1, done), Event(2, 0, 1, 1, EvalDone(status="crashed"))]
    for _ in range(30):
        for event in events:
            mixed.apply(event)
    assert noted[:2] == events
    after = await mixed.design(recombine_request(3))
    assert after.credit != before.credit, "what failed thirty times is drawn no more"


# The Analyzer and the judge


def node(number: int, score: float | None, parents: tuple[int, ...] = ()) -> Node:
    made = Node(number, number, parents, "", "full", "a name", "a motive", (), 0)
    made.status, made.score, made.measurements = ("ok" if score is not None else "crashed"), score, 1
    return made


FACTS = Facts(SPEC, node(2, 1.5, (1,)), SEED.replace("return 1\n", "return 3\n"), node(1, 1.0), SEED)
REPORT = (
    '{"lesson": "third() counts.", "causes": ["it is added"], "next_step": "Raise it.", "note": "Fine.", "priors": []}'
)


async def report(*answers: str | Answer | Exception) -> tuple[Report, Script]:
    script = Script(*answers)
    return await analyze_by_model(script, Prompts(), BRIEF, FACTS), script


async def test_report_of_model_keeps_measured_figures() -> None:
    made, script = await report(REPORT.replace('"priors": []', '"priors": [{"title": "T", "body": "B"}]'))
    assert made.lesson == "gained 0.5 over #1, score 1.5: third() counts."
    assert made.analyzer == "fast"
    for part in ("Fine.", "- it is added", "Next: Raise it."):
        assert part in made.note
    (proposal,) = made.proposals
    assert (proposal.title, proposal.body, proposal.evidence) == ("T", "B", [2, 1])
    assert script.calls == [("analyzer", "analyze/1", REPORT_SCHEMA)]


async def test_unreadable_report_is_requested_again() -> None:
    made, script = await report("It went well.", REPORT)
    assert made.analyzer == "fast"
    assert [call[1] for call in script.calls] == ["analyze/1", "analyze/1/repair"]
    assert "holds no lesson" in script.prompts[1]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (["no", "no"], "holds no lesson"),
        ([answer('{"lesson', truncated=True)] * 2, "cut off"),
        ([answer("", refused=True)], "declined"),
        ([CallFailed("moderation", "filtered")], "filtered"),
    ],
)
async def test_rules_replace_report_of_missing_model(answers: list[Any], told: str) -> None:
    made, _ = await report(*answers)
    assert made.analyzer == "rules"
    assert "gained 0.5 over #1" in made.lesson
    assert told in made.note.splitlines()[0]


JUDGED = TaskSpec(
    name="t", direction="maximize", judge=JudgeSpec([Criterion("clear", "Clear.", 3.0), Criterion("short", "Short.")])
)


async def judge(*answers: str | Answer | Exception) -> tuple[Any, Script]:
    script = Script(*answers)
    return await judge_program(script, Prompts(), JUDGED, BRIEF, "X = 1\n", {"score": 1.0}), script


MARKS = '{"clear": {"reason": "Yes.", "score": 1.0}, "short": {"reason": "No.", "score": 0.2}}'


async def test_criteria_are_weighted() -> None:
    mark, script = await judge(MARKS)
    assert mark.value == pytest.approx((3 * 1.0 + 0.2) / 4)
    assert mark.judged["short"].reason == "No."
    role, key, schema = script.calls[0]
    assert (role, key) == ("judge", "judge")
    assert schema is not None
    assert schema["required"] == ["clear", "short"]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([MARKS.replace("0.2", "20"), "no"], "no scores"),
        ([answer("", refused=True)], "declined"),
        ([CallFailed("bad_request", "no")], "no"),
    ],
)
async def test_failed_judgement_gives_no_score(answers: list[Any], told: str) -> None:
    mark, _ = await judge(*answers)
    assert mark.value is None
    assert told in mark.problem


async def test_judgement_is_requested_again() -> None:
    mark, script = await judge(MARKS.replace("0.2", "20"), MARKS)
    assert mark.value is not None
    assert "scores lie between 0 and 1" in script.prompts[1]


def test_preset_paper_uses_published_sampling_if_model_allows_it() -> None:
    models = {
        "open": ModelSpec("a"),
        "own": ModelSpec("b", temperature=0.2),
        "reasons": ModelSpec("c", reasoning_effort="low"),
    }
    preset = find_preset("paper")
    settings = preset.sample(
        merge_settings(("preset", preset.settings), ("test", {"models": msgspec.to_builtins(models)}))
    )
    assert settings.designer.modes == ModeWeights(full=1.0, diff=0.0, crossover=0.0, fix=0.0)
    assert [(model.temperature, model.top_p) for model in settings.models.values()] == [
        (0.7, 0.95),
        (0.2, 0.95),
        (None, None),
    ]
    assert settings.fitness.judge == 0
    assert settings.sampler.inspirations + 1 == 3
