"""Answers that models are writing, from the journal's ring of live rows, which keeps no past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.journal.live import LiveRow
from engine.text import one_line
from tui.model.document import clean_line

__all__ = ["LIVE_STREAM", "Stream", "amount", "rate", "take_rows"]

LIVE_STREAM = "stream"
"""The kind of the rows that hold pieces of an answer."""
_KEPT = 64_000
"""Characters of an answer that are kept; all are counted."""
_TOKEN = 4
"""Characters per token, roughly: the real count is known once the answer is complete."""


@dataclass
class Stream:
    """An answer in progress."""

    call: int
    role: str
    model: str
    round: int | None
    started: int
    """When its first piece arrived, in milliseconds since 1970."""
    at: int
    """When its last piece arrived."""
    chars: int = 0
    lines: int = 0
    """Number of lines no longer kept."""
    text: str = ""
    """The end of its text."""
    thinking: bool = False
    """Whether the last piece was a thought before the answer."""

    def shown(self, rows: int) -> list[str]:
        """Return its last lines without control characters; a full page turns by half, to save bytes."""
        lines = self.text.split("\n")
        half = max(1, rows // 2)
        count = self.lines + len(lines)
        first = max(0, -(-(count - rows) // half) * half)
        return [clean_line(line) for line in lines[max(0, first - self.lines) :]]


def take_rows(streams: dict[int, Stream], rows: Iterable[LiveRow], is_open: Iterable[int]) -> bool:
    """Add pieces to the answers of open calls; return whether there were any."""
    wanted, taken = set(is_open), False
    for row in rows:
        call, text = row.data.get("call"), row.data.get("text")
        if not isinstance(call, int) or not isinstance(text, str) or call not in wanted:
            continue
        taken = True
        stream = streams.get(call)
        if stream is None or row.data.get("again"):
            role, model = (one_line(str(row.data.get(name, "")), 40) for name in ("role", "model"))
            stream = streams[call] = Stream(call, role, model, row.round, row.at, row.at)
        thinking = bool(row.data.get("thought"))
        if stream.thinking and not thinking:
            text = f"\n{text}"
        stream.chars += len(text)
        stream.at, stream.thinking = row.at, thinking
        whole = stream.text + text
        stream.text = whole[-_KEPT:]
        stream.lines += whole.count("\n", 0, len(whole) - len(stream.text))
    return taken


def amount(stream: Stream) -> str:
    """Return how much was written."""
    return f"~{stream.chars // _TOKEN:,} tok"


def rate(stream: Stream) -> str:
    """Return the speed; empty if it is not known yet."""
    seconds = (stream.at - stream.started) / 1000
    return f"~{stream.chars / _TOKEN / seconds:.0f}/s" if seconds >= 1 else ""
