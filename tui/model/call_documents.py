"""The document of a node's model calls: prompts, answers, costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import JournalError
from engine.journal.events import CallStarted, Event
from engine.journal.reader import JournalReader
from engine.runs.calls import CallEntry, calls_among, share_cached
from tui.model.document import Line, Span, clean_line, prose_lines, table_lines, text_lines

__all__ = ["call_lines", "one_call_lines"]


def call_lines(reader: JournalReader, events: Sequence[Event], width: int) -> list[Line]:
    """Return a table of the calls, then the answer, thoughts and prompt of each.

    Args:
        reader: reads their texts.
        events: all events of the node's round that concern it, in order.
        width: cells across.

    Raises:
        JournalError: the journal cannot be read.
    """
    calls = calls_among(events)
    if not calls:
        return text_lines("no model was asked for this node", "dim")
    done = [call.done for call in calls if call.done is not None]
    spent, tokens = sum(end.usd for end in done), sum(end.tokens_in + end.tokens_out for end in done)
    unpriced = any(not end.priced for end in done)
    cost = "no price known" if unpriced and not spent else f"${spent:.4f}{'+' if unpriced else ''} in all"
    lines = [
        *table_lines(_HEAD, [_row(call) for call in calls]),
        (Span(f"{tokens:,} tokens, {cost}", "dim"),),
        (),
    ]
    for call in calls:
        lines += [*_whole(reader, call, max(20, width - 1)), ()]
    return lines


def one_call_lines(reader: JournalReader, call: CallEntry, width: int) -> list[Line]:
    """Return one call: what it cost, why it came to nothing, then answer, thoughts and prompt.

    Raises:
        JournalError: the journal cannot be read.
    """
    return [*table_lines(_HEAD, [_row(call)]), (), *_whole(reader, call, max(20, width - 1))]


_HEAD = ("call", "model", "in", "cached", "out", "$", "s", "outcome")


def _row(call: CallEntry) -> tuple[str, ...]:
    name, model, end = f"{call.started.call} {call.started.role}", call.started.model, call.done
    if end is None:
        return name, model, "", "", "", "", "", call.outcome
    about = "~" if end.estimated else ""
    return (
        name, model, f"{about}{end.tokens_in:,}", share_cached(end.tokens_in, end.tokens_cached),
        f"{about}{end.tokens_out:,}", f"{about}{end.usd:.4f}" if end.priced else "?", f"{end.seconds:.1f}",
        call.outcome,
    )  # fmt: skip


def _whole(reader: JournalReader, call: CallEntry, room: int) -> list[Line]:
    started, end = call.started, call.done
    lines: list[Line] = [
        (
            Span(f"call {started.call}: {clean_line(started.role)}", "heading"),
            Span(f"  {clean_line(started.model)}", "dim"),
        )
    ]
    for retry in call.retries:
        told = f"try {retry.number} failed after {retry.seconds:.1f} s: {retry.reason}"
        lines += prose_lines(told, room, "bad")
    if call.reason:
        lines += prose_lines(call.reason, room, "bad")
    if end is not None:
        answer = "transcript" if started.command else "answer"
        for label, blob in ((answer, end.answer_blob), ("thoughts before it", end.reasoning_blob)):
            if blob:
                lines += [_label(label), *prose_lines(_text(reader, blob), room)]
    for role, text in _messages(reader, started):
        lines += [_label(f"prompt: {role}"), *prose_lines(text, room)]
    if started.parameters:
        what = "command" if started.command else "model"
        lines += [_label(f"{what} as configured"), *text_lines(_configured(started.parameters), "dim")]
    return lines


def _label(text: str) -> Line:
    return (Span(f"── {clean_line(text)}", "accent"),)


def _text(reader: JournalReader, blob: str) -> str:
    try:
        return reader.text(blob)
    except (JournalError, ValueError):
        return "its text is not in the journal"


def _messages(reader: JournalReader, call: CallStarted) -> list[tuple[str, str]]:
    """Return role and text of each message of a prompt; show a prompt of another form unchanged."""
    if not call.prompt_blob:
        return []
    raw = _text(reader, call.prompt_blob)
    try:
        messages = msgspec.json.decode(raw)["messages"]
        return [(str(message["role"]), _content(message["content"])) for message in messages]
    except (msgspec.DecodeError, LookupError, TypeError):
        return [("as it was sent", raw)]


def _content(content: Any) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _configured(parameters: dict[str, Any]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in parameters.items() if value not in (None, "", [], {}))
