"""Tell a model's thoughts from its answer where both come in one text."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.llm.blocks import AnswerError

__all__ = ["LONGEST_MARK", "THOUGHTS_END", "opens_thoughts", "without_thoughts"]

_NAMES = r"(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|reflection)"
_OPENING = re.compile(
    rf"^[ \t]*(?:<{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)\b[^\n<]*<\|message\|>|<\|channel>\s*thought\b)",
    re.IGNORECASE | re.MULTILINE,
)
THOUGHTS_END = re.compile(
    rf"</\s*{_NAMES}\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|<\|channel\|>\s*final\b(?:(?!<\|message\|>).){0,60}<\|message\|>|<channel\|>",
    re.IGNORECASE | re.DOTALL,
)
"""What ends thoughts, whichever model writes them."""
LONGEST_MARK = 100
"""Most characters of such a mark."""
_PLAIN_HARMONY = re.compile(r"\A\s*analysis(?=\S)(?:.*?)\bassistant\s?final(?=\S)", re.DOTALL)
"""The channels of a server that leaves out the marks of its model, and not the names between them."""
_REST = re.compile(
    r"(?:<\|(?:return|end|call|im_end|eot_id|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution)\|>"
    r"|<\|start\|>assistant)",
)
"""Marks that belong neither to thoughts nor to an answer."""
_MOST_MARKS = 60

Inside = Callable[[str, int], bool]
"""Tells whether an offset of a text lies within an answer, so that what looks like a mark there belongs to it."""


def without_thoughts(text: str, inside: Inside) -> str:
    """Return the answer behind the last mark that ends thoughts, with line ends as `\\n`.

    Args:
        text: the answer as it came.
        inside: tells marks from the same characters within an answer.

    Raises:
        AnswerError: nothing follows the thoughts.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    plain = _PLAIN_HARMONY.match(text)
    if plain is not None:
        text = text[plain.end() :]
    thought = False
    for mark in reversed(list(THOUGHTS_END.finditer(text))[-_MOST_MARKS:]):
        if inside(text, mark.start()):
            continue
        behind = text[mark.end() :]
        if _REST.sub("", behind).strip():
            text, thought = behind, True
            break
        if _OPENING.search(text, 0, mark.start()):
            raise AnswerError("the answer ends with its reasoning; reason less and write the answer itself")
        # Nothing opened it, and nothing follows.
        text = text[: mark.start()]
    for opening in _OPENING.finditer(text):
        if not inside(text, opening.start()):
            text = text[: opening.start()]
            if not text.strip():
                raise AnswerError("the answer ends within its reasoning; reason less and write the answer itself")
            break
    if thought or plain is not None or "<|" in text:
        text = _without_rest(text, inside)
    if not text.strip():
        raise AnswerError("the answer is empty; write it in the form that is asked for")
    return text


def opens_thoughts(text: str) -> bool:
    """Return whether a text holds a mark that begins thoughts."""
    return _OPENING.search(text) is not None


def _without_rest(text: str, inside: Inside) -> str:
    for mark in reversed(list(_REST.finditer(text))[-_MOST_MARKS:]):
        if not inside(text, mark.start()):
            text = text[: mark.start()] + text[mark.end() :]
    return text
