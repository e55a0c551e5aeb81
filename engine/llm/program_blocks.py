"""Find programs among the blocks of an answer: what is a valid program, and which of several is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.llm.blocks import Block, fence_blocks, tag_blocks, variants
from engine.llm.json_parts import in_object, is_placeholder
from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError

__all__ = ["Budget", "Reading", "choose", "defines", "fences_in", "in_program", "named_parts_removed", "read_blocks"]

_MOST_TRIED, _MOST_SPANNED = 1_000_000, 200_000
"""Most characters of possible programs to parse per answer, and per mark of thoughts, so that an odd answer cannot
stop the loop."""
_SHORT = 0.5
"""Least length of a later program, as a share of an earlier one's, to count as its correction."""


@dataclass(frozen=True)
class Reading:
    """A block that is a valid program."""

    start: int
    end: int
    code: str
    closed: bool


class Budget:
    """Count down the characters that may still be parsed."""

    def __init__(self, left: int = _MOST_TRIED) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        """Count down; return whether any are left."""
        self.left -= count
        return self.left >= 0


def fences_in(block: Block) -> list[Block]:
    """Return the closed fences within a block."""
    return [
        Block(block.start + inner.start, block.start + inner.end, inner.text)
        for inner in fence_blocks(block.text)
        if inner.closed
    ]


def read_blocks(blocks: Sequence[Block], budget: Budget, language: Language, prose: bool = False) -> list[Reading]:
    """Return the blocks that are valid programs and more than a word of prose, longest first."""
    found: list[Reading] = []
    for block in sorted(blocks, key=lambda item: (-len(item.text), item.start)):
        if any(item.start <= block.start and block.end <= item.end for item in found):
            continue
        for code in variants(block.text):
            if not budget.take(len(code)):
                return found
            parts = _parts(code, language)
            if parts is not None and (parts - {"<other>"} if prose else parts):
                found.append(Reading(block.start, block.end, code, block.closed))
                break
    return found


def in_program(text: str, at: int, language: Language) -> bool:
    """Tell whether an offset lies within a valid program, in which a mark of thoughts can stand as text."""
    if in_object(text, at):
        return True
    # Only a string or a comment can hold it.
    on_line = any(sign in text[text.rfind("\n", 0, at) + 1 : at] for sign in ("'", '"', language.comment or "#"))
    budget = Budget(_MOST_SPANNED)
    blocks = [*tag_blocks(text, "program", "code"), *fence_blocks(text)]
    if not blocks:
        bare = named_parts_removed(text)
        return _parts(bare, language) is not None if len(bare) < _MOST_SPANNED else False
    for block in sorted(blocks, key=lambda item: len(item.text)):
        if not block.start <= at < block.end:
            continue
        before, behind = text[block.start : at], text[at : block.end]
        if not on_line and not any(quotes in before and quotes in behind for quotes in ('"""', "'''")):
            continue
        for code in variants(block.text):
            if not budget.take(len(code)):
                return False
            if _parts(code, language):
                return True
    return False


def _parts(code: str, language: Language) -> set[str] | None:
    if is_placeholder(code):
        return None
    try:
        return set(language.outline(code).parts)
    except ProgramError:
        return None


def defines(code: str, required: Sequence[str], language: Language) -> bool:
    """Tell whether a program defines all these functions and classes."""
    shape = language.outline(code)
    return all(name in shape.functions or name in shape.classes for name in required)


def choose(found: Sequence[Reading], whole: bool) -> Reading | None:
    """Choose the last block not much shorter than the longest: corrections come last, examples are short.

    Args:
        found: the blocks.
        whole: whether each defines all that the task requires; then the last one counts, however short.
    """
    longest = 0 if whole else max((len(item.code) for item in found), default=0)
    return max(
        (item for item in found if len(item.code) >= _SHORT * longest), key=lambda item: item.start, default=None
    )


def named_parts_removed(text: str) -> str:
    """Return an answer without its name and its motivation."""
    return re.sub(r"<(name|motivation)>.*?</\1>", "", text, flags=re.DOTALL | re.IGNORECASE)
