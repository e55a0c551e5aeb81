"""Prompts: templates, fences around foreign text, and the order in which sections are left out to fit."""

from engine.llm.prompts.build import (
    PromptTooLong,
    analyzer_prompt,
    estimate_tokens,
    judge_prompt,
    prompt_room,
    researcher_prompt,
)
from engine.llm.prompts.check import check_prompts
from engine.llm.prompts.templates import TEMPLATES, Prompts

__all__ = [
    "TEMPLATES",
    "PromptTooLong",
    "Prompts",
    "analyzer_prompt",
    "check_prompts",
    "estimate_tokens",
    "judge_prompt",
    "prompt_room",
    "researcher_prompt",
]
