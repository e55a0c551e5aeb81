"""Answers that models are writing, from the journal's ring of live rows, which keeps no past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.journal.events import CallStarted, Event
from engine.journal.live import LiveRow
from engine.state.run_state import RunState
from engine.state.trouble import NO_MODEL_ANSWERS
from engine.text import one_line
from tui.model.document import clean_line

__all__ = ["LIVE_STREAM", "Stream", "amount", "no_stream", "open_streams", "rate", "reading", "take_rows", "waits"]

LIVE_STREAM = "stream"
"""The kind of the rows that hold pieces of an answer."""
_KEPT = 64_000
"""Characters of an answer that are kept; all are counted."""
_REASON_LENGTH = 300
_TOKEN = 4
"""Characters per token, roughly, where an earlier engine counts none itself."""


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
    counted: int = 0
    """Tokens so far, as the engine counts them piece by piece."""
    lines: int = 0
    """Number of lines no longer kept."""
    text: str = ""
    """The end of its text."""
    thinking: bool = False
    """Whether the last piece was a thought before the answer."""
    until: int = 0
    """When the next try is made, in milliseconds since 1970; 0 if none was waited for."""
    number: int = 1
    """Which try that is."""
    tries: int = 1
    """How many there are at most."""
    why: str = ""
    """Why it is not made at once."""
    command: bool = False
    """Whether it is what a command prints, which no tokens measure."""

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
            stream.command = bool(row.data.get("command"))
        if _take_wait(stream, row):
            continue
        thinking = bool(row.data.get("thought"))
        if stream.thinking and not thinking:
            text = f"\n{text}"
        if not stream.chars:
            stream.started = row.at
        stream.chars += len(text)
        tokens = row.data.get("tokens")
        stream.counted = tokens if isinstance(tokens, int) else stream.counted
        stream.at, stream.thinking = row.at, thinking
        whole = stream.text + text
        stream.text = whole[-_KEPT:]
        stream.lines += whole.count("\n", 0, len(whole) - len(stream.text))
    return taken


def _take_wait(stream: Stream, row: LiveRow) -> bool:
    """Take a row that says how long a try is waited for; return whether it is one."""
    wait, number, tries = (row.data.get(name) for name in ("wait", "try", "tries"))
    if not (isinstance(wait, int) and isinstance(number, int) and isinstance(tries, int)):
        return False
    stream.until, stream.number, stream.tries = row.at + wait, number, tries
    stream.why = one_line(str(row.data.get("why", "")), _REASON_LENGTH)
    return True


def open_streams(calls: Mapping[int, Event], streams: Mapping[int, Stream]) -> dict[int, Stream]:
    """Return what every open call has written, those included whose model still reads the prompt."""
    found = {}
    for number, event in calls.items():
        stream = streams.get(number)
        if stream is None:
            data = event.data
            assert isinstance(data, CallStarted)
            role, model = one_line(data.role, 40), one_line(data.model, 40)
            stream = Stream(number, role, model, event.round, event.at, event.at, command=bool(data.command))
        found[number] = stream
    return found


def no_stream(state: RunState, alive: bool) -> tuple[str, str]:
    """Return in a few words that no model is asked, and why one that is needed is not; that is empty if none is.

    Args:
        state: the run.
        alive: whether an engine is at work.
    """
    if alive and state.status == "paused" and state.reason.startswith(NO_MODEL_ANSWERS):
        return "waits for a model", clean_line(state.reason)
    return "no model at this moment", ""


def waits(stream: Stream, now: int | None) -> bool:
    """Return whether the next try of a call is yet to come, so that no model is asked."""
    return stream.until > 0 and not stream.chars and (now is None or now < stream.until)


def reading(event: Event, stream: Stream, now: int | None) -> str:
    """Return what an open call does whose answer has not begun.

    It waits for its next try, or has its prompt read: for how long, and how long that may take.

    Args:
        event: the call's `call.started`; its time is that of the newest try.
        stream: what is known of its answer.
        now: the time to measure against, in milliseconds; None leaves the seconds out.
    """
    data = event.data
    assert isinstance(data, CallStarted)
    if data.command:
        spent = "" if now is None else f", {max(0, now - event.at) // 1000:,} s"
        limit = data.parameters.get("seconds")
        most = f", limit {limit:g} s (command.seconds)" if isinstance(limit, int | float) else ""
        return f"works in its folder, and has printed nothing yet{spent}{most}"
    what = f"reading a prompt of {data.tokens:,} tokens" if data.tokens else "reading the prompt"
    which = f"try {stream.number} of {stream.tries}" if stream.number > 1 else "asked"
    if waits(stream, now):
        when = f" in {-(-(stream.until - now) // 1000):,} s" if now is not None else " later"
        return f"{which}{when}: {clean_line(stream.why)}"
    if stream.number > 1:
        what = f"{which}: {what}"
    begun = max(event.at, stream.until)
    told = [what] if now is None else [what, f"{max(0, now - begun) // 1000:,} s"]
    if data.patience:
        setting = f"models.{one_line(data.model, 40)}.first_token_seconds"
        own = "first_token_seconds" in data.parameters
        told.append(f"limit {data.patience:,.0f} s ({setting if own else f'follows the endpoint; {setting} sets it'})")
    return ", ".join(told)


def _tokens(stream: Stream) -> int:
    return stream.counted or stream.chars // _TOKEN


def amount(stream: Stream) -> str:
    """Return how much was written."""
    if stream.command:
        return f"{stream.chars:,} characters"
    return f"~{_tokens(stream):,} tok"


def rate(stream: Stream) -> str:
    """Return the speed; empty if it is not known yet, or means nothing."""
    if stream.command:
        return ""
    seconds = (stream.at - stream.started) / 1000
    return f"~{_tokens(stream) / seconds:.0f}/s" if seconds >= 1 else ""
