"""Split a prior's text into what retrieval reads: prose, code, and the sentences of the prose."""

from __future__ import annotations

import re

from cognition.prior import Prior

__all__ = ["code_of", "passages", "prose_of"]

_FENCED = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE)
_BREAK = re.compile(r"(?<=[.:;!?])\s+|\n\s*\n")
_SHORTEST_WORDS = 3
_MOST_SENTENCES = 24
_WHOLE_LENGTH = 8_000


def prose_of(prior: Prior) -> str:
    """Return a prior's body without its fenced blocks."""
    return _FENCED.sub("", prior.body)


def code_of(prior: Prior) -> str:
    """Return the content of a prior's fenced blocks."""
    return "\n".join(match["code"] for match in _FENCED.finditer(prior.body))


def passages(prior: Prior) -> list[str]:
    """Return the texts to embed for a prior: its prose as a whole, cut if it is long, then the sentences."""
    whole = f"{prior.title}. {', '.join(prior.tags)}. {prose_of(prior)}"[:_WHOLE_LENGTH]
    sentences = (" ".join(sentence.split()) for sentence in _BREAK.split(whole))
    long_enough = [sentence for sentence in sentences if len(sentence.split()) >= _SHORTEST_WORDS]
    return [whole, *list(dict.fromkeys(long_enough))[:_MOST_SENTENCES]]
