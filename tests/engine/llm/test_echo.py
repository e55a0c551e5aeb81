"""Answers that repeat the prompt's examples: the example never counts, what stands beside it does."""

from __future__ import annotations

import json

import pytest

from engine.designers.base import DesignerError
from engine.llm.messages import PromptSize
from engine.llm.prompts import analyzer_prompt, form_of, researcher_prompt, without_echo
from engine.llm.requests import Mode
from tests.engine.llm.test_designer import BRIEF, EDIT, FACTS, SPEC, WHOLE, Script, ask_for, design, report
from tests.engine.llm.test_prompts import PROMPTS, ROOMY, TASK, request

FORM = form_of(researcher_prompt(PROMPTS, SPEC, BRIEF, ask_for(Script(), "diff"), ROOMY))
BRIEF_FORM = form_of(researcher_prompt(PROMPTS, TASK.spec, TASK.brief, request("fix"), PromptSize(10_000, brief=True)))
EXAMPLES = {
    "program": FORM[FORM.index("<name>exact") : FORM.index("</program>\n\n") + len("</program>")],
    "edit": FORM[FORM.index("<name>smaller") : FORM.index(">>>>>>> REPLACE") + len(">>>>>>> REPLACE")],
    "function": FORM[FORM.index("<name>median") : FORM.rindex("```") + 3],
    "all": FORM.partition("# Your answer")[0],
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("mode", ["full", "diff"])
async def test_repeated_example_is_no_design(name: str, mode: Mode) -> None:
    with pytest.raises(DesignerError, match="example is no answer") as caught:
        await design(EXAMPLES[name], mode=mode)
    assert caught.value.check == "answer"


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize(("mode", "own"), [("full", WHOLE), ("diff", EDIT), ("diff", WHOLE)])
async def test_what_stands_beside_a_repeated_example_is_read(name: str, mode: Mode, own: str) -> None:
    expected, _ = await design(own, mode=mode)
    for text in (f"{EXAMPLES[name]}\n\n{own}", f"{own}\n\n{EXAMPLES[name]}"):
        made, _ = await design(text, mode=mode)
        assert (made.code, made.name) == (expected.code, expected.name)


async def test_refusal_of_a_mere_example_says_so() -> None:
    with pytest.raises(DesignerError, match="repeats the prompt's example and says nothing else"):
        await design(EXAMPLES["edit"], mode="diff")


async def test_copied_placeholders_are_dropped_and_the_rest_is_read() -> None:
    made, _ = await design(EDIT.replace("<name>rate", "<name>smaller first step"), mode="diff")
    assert made.name == "changed third"
    made, _ = await design(EDIT.replace("<name>rate", "<name>…") + "<motivation>...</motivation>", mode="diff")
    assert (made.name, made.motivation) == ("changed third", "the model gave no reason")


def test_prose_of_the_short_form_is_no_motivation() -> None:
    answer = "A single outlier moves the mean, so I took the median.\n\n```python\ndef third():\n    return 3\n```\n"
    assert without_echo(answer, BRIEF_FORM).strip() == "```python\ndef third():\n    return 3\n```"


async def test_repeated_example_is_no_report() -> None:
    form = form_of(analyzer_prompt(PROMPTS, BRIEF, FACTS, ROOMY))
    example = next(line for line in form.split("\n") if line.startswith('{"lesson"'))
    pretty = json.dumps(json.loads(example), indent=2)
    made, script = await report(f"Like this:\n{pretty}", '{"lesson": "…", "causes": []}')
    assert made.analyzer == "rules"
    assert len(script.calls) == 2
    own = '{"lesson": "third() counts.", "causes": ["…", "it is added"], "next_step": "…", "note": ""}'
    made, _ = await report(f"{pretty}\n{own}")
    assert made.lesson.endswith(": third() counts.")
    assert (made.causes, made.next_step) == (("it is added",), "")


@pytest.mark.parametrize("text", ["", "no form", WHOLE, EDIT])
def test_answer_without_examples_is_unchanged(text: str) -> None:
    assert without_echo(text, FORM) == text
    assert without_echo(text, "") == text
