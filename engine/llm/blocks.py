"""Locate the parts of an answer: reasoning, tags, code fences, JSON. Their content is not judged here."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AnswerError",
    "Block",
    "fence_blocks",
    "json_object",
    "read_fences",
    "tag_blocks",
    "tag_text",
    "variants",
    "without_reasoning",
]

_REASONING = re.compile(r"\s*<(?P<tag>think|thinking|thought|reasoning)>", re.IGNORECASE)
_LONE_CLOSING = re.compile(r"^[ \t]*</(?:think|thinking)>[ \t]*\n?", re.IGNORECASE | re.MULTILINE)
_ANSWER_BEGINS = re.compile(r"<(?:program|code)\b|<{5,9}|`{3,}|~{3,}", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]{0,8}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*?)[ \t]*$", re.MULTILINE)
_CDATA = re.compile(r"\A\s*<!\[CDATA\[(?P<text>.*)\]\]>\s*\Z", re.DOTALL)
_MOST_MARKS = 40
"""Most openings and closings of one kind to consider: half from the start, half from the end."""
_MOST_OBJECTS = 20


class AnswerError(Exception):
    """An answer cannot be used; the message tells the model why, and what to do differently."""


@dataclass(frozen=True)
class Block:
    """A stretch of an answer that may be a program."""

    start: int
    """Offset of its first character."""
    end: int
    """Offset after its last character."""
    text: str
    closed: bool = True
    """False: nothing closes it, so it extends to the end of the answer."""


def without_reasoning(text: str) -> str:
    """Return the answer without the reasoning that some models put before it, with line ends as `\\n`.

    Raises:
        AnswerError: nothing follows the reasoning.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    while opening := _REASONING.match(text):
        closing = re.compile(f"</{opening['tag']}>", re.IGNORECASE).search(text, opening.end())
        if closing is None:
            raise AnswerError("the answer ends within its reasoning; reason less and write the answer itself")
        text = text[closing.end() :]
    # Some servers drop the opening tag. A program may contain such a line, so this must come before any answer.
    lone = _LONE_CLOSING.search(text)
    if lone is not None and not _ANSWER_BEGINS.search(text, 0, lone.start()):
        text = text[lone.end() :]
    if not text.strip():
        raise AnswerError("the answer is empty; write it in the form that is asked for")
    return text


def tag_blocks(text: str, *names: str) -> list[Block]:
    """Return every stretch from an opening tag to any closing tag after it, or to the end if there is none.

    A program may contain either tag in a string, so the caller must try which closing tag is meant.
    """
    either = "|".join(names)
    opens = [match.end() for match in re.finditer(rf"<(?:{either})(?:[ \t][^<>\n]*)?>", text, re.IGNORECASE)]
    closes = [match.start() for match in re.finditer(rf"</(?:{either})[ \t]*>", text, re.IGNORECASE)]
    return _pairs(text, _bounded(opens), _bounded(closes))


def tag_text(text: str, name: str) -> str:
    """Return the stripped text in the first pair of tags of this name; empty if there is none."""
    match = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL | re.IGNORECASE)
    return match[1].strip() if match else ""


def fence_blocks(text: str) -> list[Block]:
    """Return every stretch from a fence to any fence that may close it, or to the end if none does."""
    marks = list(_FENCE.finditer(text))
    blocks: list[Block] = []
    for mark in _bounded(marks):
        start = min(mark.end() + 1, len(text))
        closes = [
            other.start()
            for other in marks
            if other.start() >= start
            and not other["info"]
            and other["fence"][0] == mark["fence"][0]
            and len(other["fence"]) >= len(mark["fence"])
        ]
        blocks += _pairs(text, [start], _bounded(closes))
    return blocks


def read_fences(text: str) -> tuple[list[tuple[str, str]], bool]:
    """Return the fenced blocks of Markdown as pairs of info string and text, and whether a fence is left open."""
    blocks: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(text):
        if opened is None:
            opened = mark
        elif not mark["info"] and mark["fence"].startswith(opened["fence"]):
            blocks.append((opened["info"].lower(), text[opened.end() + 1 : mark.start()]))
            opened = None
    return blocks, opened is not None


def _pairs(text: str, opens: Sequence[int], closes: Sequence[int]) -> list[Block]:
    blocks: list[Block] = []
    for start in opens:
        behind = [end for end in closes if end >= start]
        blocks += [Block(start, end, text[start:end]) for end in behind]
        if not behind:
            blocks.append(Block(start, len(text), text[start:], closed=False))
    return blocks


def _bounded(items: list[Any]) -> list[Any]:
    return items if len(items) <= _MOST_MARKS else items[: _MOST_MARKS // 2] + items[-_MOST_MARKS // 2 :]


def variants(text: str) -> Iterator[str]:
    """Yield ways to read a block as a program, likeliest first: unchanged, unindented, with entities decoded."""
    cdata = _CDATA.match(text)
    # Drop blank lines around the program, but keep blanks before its first word: they may be its indentation.
    plain = re.sub(r"\A(?:[ \t]*\n)+", "", cdata["text"] if cdata else text).rstrip() + "\n"
    yield plain
    level = textwrap.dedent(plain)
    if level != plain:
        yield level
    if re.search("&(?:lt|gt|amp|quot|#39);", plain):
        yield html.unescape(plain)


def json_object(text: str, *keys: str) -> dict[str, Any] | None:
    """Return the first JSON object in an answer that has one of these keys, whatever surrounds it; else None."""
    decoder = json.JSONDecoder(strict=False)
    position = -1
    for _ in range(_MOST_OBJECTS):
        position = text.find("{", position + 1)
        if position < 0:
            return None
        try:
            found, _ = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and any(key in found for key in keys):
            return found
    return None
