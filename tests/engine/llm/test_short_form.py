"""Answers to the short form of prompts, which asks for one function."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from engine.designers.base import DesignerError
from engine.designers.llm import LlmDesigner
from engine.llm.messages import PromptSize
from engine.llm.prompts import Prompts
from engine.llm.requests import Mode
from engine.task.spec import Interface
from tests.engine.llm.test_designer import BRIEF, SEED, SPEC, Script, answer, ask_for, designer


@pytest.mark.parametrize("mode", ["full", "diff", "crossover", "fix"])
async def test_function_is_put_into_the_parent_where_a_function_was_asked_for(mode: Mode) -> None:
    text = "I count to three.\n\n```python\ndef third():\n    return 3\n```\n"
    script = Script(replace(answer(text), brief=True), size=PromptSize(20_000, brief=True))
    spec = msgspec.structs.replace(SPEC, interface=Interface())
    made = await LlmDesigner(spec, BRIEF, Prompts()).design(ask_for(script, mode))
    assert made.code == SEED.replace("return 1\n", "return 3\n")
    assert (made.name, made.motivation) == ("changed third", "I count to three.")
    assert "a function at a time" in script.prompts[0]


async def test_sentence_behind_the_function_is_its_motivation() -> None:
    text = "```python\ndef third():\n    return 3\n```\n\nI counted to three.\n"
    script = Script(replace(answer(text), brief=True), size=PromptSize(20_000, brief=True))
    made = await designer().design(ask_for(script, "diff"))
    assert made.motivation == "I counted to three."


@pytest.mark.parametrize("mode", ["full", "diff"])
async def test_refusal_in_the_short_form_asks_for_a_function(mode: Mode) -> None:
    script = Script(replace(answer("I would count."), brief=True), size=PromptSize(20_000, brief=True))
    with pytest.raises(DesignerError, match="begin with one code fence that holds the whole function") as caught:
        await designer().design(ask_for(script, mode))
    assert "<program>" not in str(caught.value)
    assert "SEARCH part" not in str(caught.value)
