"""Locate the parts of an answer: tags, code fences. Their content is not judged here."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AnswerError",
    "Block",
    "fence_blocks",
    "read_fences",
    "tag_blocks",
    "tag_text",
    "variants",
]

_FENCE = re.compile(r"^[ \t]{0,8}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*?)[ \t]*$", re.MULTILINE)
_CDATA = re.compile(r"\A\s*<!\[CDATA\[(?P<text>.*)\]\]>\s*\Z", re.DOTALL)
_MOST_MARKS = 40
"""Most openings and closings of one kind to consider: half from the start, half from the end."""


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
