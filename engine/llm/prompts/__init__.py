"""Prompts: templates, fences around foreign text, and the order in which sections are left out to fit."""

from engine.llm.prompts.build import (
    PromptTooLong,
    again_prompt,
    analyzer_prompt,
    judge_prompt,
    most_tokens,
    researcher_prompt,
)
from engine.llm.prompts.check import check_prompts
from engine.llm.prompts.echo import form_of, without_echo
from engine.llm.prompts.templates import TEMPLATES, Prompts

__all__ = [
    "TEMPLATES",
    "PromptTooLong",
    "Prompts",
    "again_prompt",
    "analyzer_prompt",
    "check_prompts",
    "form_of",
    "judge_prompt",
    "most_tokens",
    "researcher_prompt",
    "without_echo",
]
