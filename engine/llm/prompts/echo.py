"""Examples of a prompt that an answer repeats: they are no answer, and are taken out before it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from engine.llm.messages import Message

__all__ = ["form_of", "without_echo"]

_HEADINGS = ("# The form of your answer\n", "# Your answer\n")
_BLOCKS = (
    re.compile(
        r"^[ \t]*<{5,9}[ \t]*SEARCH.*?^[ \t]*>{5,9}[ \t]*REPLACE[^\n]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
    ),
    re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE),
    re.compile(
        r"<(?P<tag>program|code|name|motivation)>(?P<body>(?:(?!<(?P=tag)>).)*?)</(?P=tag)>", re.DOTALL | re.IGNORECASE
    ),
)
"""Edits, fences and tags."""
_MOST_OBJECTS = 40
_LEAST_LINE = 12
"""A shorter line of prose may stand in an answer by chance."""


def form_of(messages: Sequence[Message]) -> str:
    """Return the part of a prompt that shows the form of its answer; empty if none says that it does."""
    parts = []
    for message in messages:
        found = [at for heading in _HEADINGS if (at := message.content.rfind(heading)) >= 0]
        parts += [message.content[min(found) :]] if found else []
    return "\n".join(parts)


def without_echo(answer: str, form: str) -> str:
    """Return an answer without the edits, code, names and JSON that it has word for word from the prompt's form.

    What the model itself wrote around them stays, so that it is read.
    """
    if not form:
        return answer
    answer = answer.replace("\r\n", "\n")
    for pattern in _BLOCKS:
        shown = {_plain(match) for match in pattern.finditer(form)}
        answer = pattern.sub(lambda match, shown=shown: "" if _plain(match) in shown else match[0], answer)  # type: ignore[misc]
    examples = [value for _, _, value in _objects(form)]
    for start, end, value in reversed(list(_objects(answer))):
        if value in examples:
            answer = answer[:start] + answer[end:]
    prose = {line.strip() for line in form.split("\n") if len(line.strip()) >= _LEAST_LINE}
    prose -= {line.strip() for block in _BLOCKS[:2] for match in block.finditer(form) for line in match[0].split("\n")}
    return "\n".join(line for line in answer.split("\n") if line.strip() not in prose)


def _plain(match: re.Match[str]) -> str:
    """Return what a block holds, blanks apart."""
    return " ".join((match["body"] if "body" in match.re.groupindex else match[0]).split())


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the JSON objects of a text with where they begin and end, outermost only."""
    decoder = json.JSONDecoder(strict=False)
    at = -1
    for _ in range(_MOST_OBJECTS):
        at = text.find("{", at + 1)
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield at, end, value
            at = end - 1
