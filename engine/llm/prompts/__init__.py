"""What is said to models: templates, the fences around foreign text, and what is left out where the room is short."""

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
