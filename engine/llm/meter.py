"""Count the tokens of an answer while it is streamed, and tell when it runs away."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache

from engine.llm.thoughts import LONGEST_MARK, THOUGHTS_END

__all__ = ["AnswerMeter", "piece_tokens"]

_TOKEN = re.compile(r"\s*(?:[^\W_]{1,8}|_+|[^\w\s]{1,3})|\s+")
"""Roughly one token: up to eight letters or three signs, with the blanks before them."""
_ONE_WORD = 12
"""A piece up to this many characters without a blank inside is one token: endpoints send a token at a time."""

_BEGINS = re.compile(r"<(?:program|code)\b|<{5,9}|`{3,}|~{3,}|\{", re.IGNORECASE)
"""The beginning of what was asked for; what comes before may be thoughts that nobody marked."""
_PRELUDE = 4
"""How many times the cap may come before the answer begins."""
_LEAST_PRELUDE = 8_192

_LOOK_EVERY = 400
"""Characters between two looks for repetition."""
_TAIL = 4_000
"""Characters at the end that must repeat a passage within lines, and those that repeated lines must have together."""
_LONGEST_PERIOD = 250
"""Longest passage within lines that is looked for, in characters."""
_LINES = 800
"""Lines that are compared."""
_FEW, _MANY = 8, 24
"""How often a passage of at least `_PASSAGE` lines must come in a row, and a shorter one: programs hold equal rows."""
_PASSAGE = 3


class AnswerMeter:
    """Count tokens piece by piece.

    Args:
        cap: tokens after which the answer is too long, thoughts left out; 0: never.
    """

    def __init__(self, cap: int = 0) -> None:
        self._cap = cap
        self._begun = False
        self._counted = 0
        self._recent = ""
        self._ends = {False: _End(), True: _End()}
        self.tokens = 0
        """Tokens so far, thoughts included."""
        self.stop = ""
        """Why to hang up: `cap_tokens` or `repetition`; empty while there is no reason."""

    def add(self, piece: str, thought: bool) -> None:
        """Take in a piece of the answer, or of the thoughts before it."""
        count = piece_tokens(piece)
        self.tokens += count
        if self._cap and not thought:
            self._count(piece, count)
        if self._ends[thought].add(piece) and not self.stop:
            self.stop = "repetition"

    def _count(self, piece: str, count: int) -> None:
        # A mark may be cut in two by the pieces.
        recent = self._recent + piece
        self._recent = recent[-LONGEST_MARK:]
        if THOUGHTS_END.search(recent):
            # All before it was thought.
            self._begun, self._counted, self._recent = False, 0, ""
            return
        if not self._begun and _BEGINS.search(recent):
            self._begun, self._counted = True, 0
        self._counted += count
        if self._counted > (self._cap if self._begun else max(_LEAST_PRELUDE, _PRELUDE * self._cap)):
            self.stop = self.stop or "cap_tokens"


class _End:
    """The end of a text, looked at from time to time."""

    def __init__(self) -> None:
        self._tail = ""
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._sizes: deque[int] = deque(maxlen=_LINES)
        self._line: list[str] = []
        self._unseen = 0

    def add(self, piece: str) -> bool:
        """Take in a piece; return whether the text repeats itself now."""
        first, *others = piece.split("\n")
        self._line.append(first)
        for other in others:
            line = "".join(self._line)
            if line.strip():
                # A passage that is nested into itself is indented further each time.
                self._lines.append(line.strip())
                self._sizes.append(len(line))
            self._line = [other]
        self._tail = (self._tail + piece)[-_TAIL:]
        self._unseen += len(piece)
        if self._unseen < _LOOK_EVERY:
            return False
        self._unseen = 0
        return self._repeats_characters() or self._repeats_lines()

    def _repeats_characters(self) -> bool:
        tail = self._tail
        return len(tail) == _TAIL and any(tail[step:] == tail[:-step] for step in range(1, _LONGEST_PERIOD + 1))

    def _repeats_lines(self) -> bool:
        lines, sizes = list(self._lines), list(self._sizes)
        for period in range(1, len(lines) // _FEW + 1):
            start = len(lines) - period
            while start > 0 and lines[start - 1] == lines[start - 1 + period]:
                start -= 1
            times = _FEW if period >= _PASSAGE else _MANY
            if len(lines) - start >= times * period and sum(sizes[start:]) >= _TAIL:
                return True
        return False


def piece_tokens(piece: str) -> int:
    """Return roughly how many tokens a piece of a streamed answer has: 1 where it can be one, as most are."""
    if len(piece) <= _ONE_WORD and len(piece.split()) <= 1:
        return 1
    return _tokens_in(piece)


@lru_cache(maxsize=2)
def _tokens_in(piece: str) -> int:
    # Each piece is counted for the live view and for its answer's length.
    return len(_TOKEN.findall(piece))
