"""The document of a node's model calls: prompts, answers, costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import JournalError
from engine.journal.events import CallDone, CallStarted, Event
from engine.journal.reader import JournalReader
from tui.model.document import Line, Span, clean_line, prose_lines, table_lines, text_lines

__all__ = ["call_lines"]


def call_lines(reader: JournalReader, events: Sequence[Event], width: int) -> list[Line]:
    """Return a table of the calls, then the answer, thoughts and prompt of each.

    Args:
        reader: reads their texts.
        events: all events of the node's round that concern it, in order.
        width: cells across.

    Raises:
        JournalError: the journal cannot be read.
    """
    started = [event.data for event in events if isinstance(event.data, CallStarted)]
    done = {event.data.call: event.data for event in events if isinstance(event.data, CallDone)}
    if not started:
        return text_lines("no model was asked for this node", "dim")
    rows = [_row(call, done.get(call.call)) for call in started]
    spent = sum(end.usd for end in done.values())
    tokens = sum(end.tokens_in + end.tokens_out for end in done.values())
    lines = [
        *table_lines(("call", "model", "in", "out", "$", "s", "outcome"), rows),
        (Span(f"{tokens:,} tokens, ${spent:.4f} in all", "dim"),),
        (),
    ]
    for call in started:
        lines += _whole(reader, call, done.get(call.call), max(20, width - 1))
    return lines


def _row(call: CallStarted, end: CallDone | None) -> tuple[str, ...]:
    name = f"{call.call} {call.role}"
    if end is None:
        return name, call.model, "", "", "", "", "asked"
    about = "~" if end.estimated else ""
    outcome = [word for word in ("refused", "truncated", "replayed") if getattr(end, word)]
    if end.error:
        outcome.append(end.fault or "failed")
    if end.retries:
        outcome.append(f"{end.retries} retries")
    return (
        name, call.model, f"{about}{end.tokens_in:,}", f"{about}{end.tokens_out:,}",
        f"{about}{end.usd:.4f}" if end.priced else "?", f"{end.seconds:.1f}", ", ".join(outcome) or "answered",
    )  # fmt: skip


def _whole(reader: JournalReader, call: CallStarted, end: CallDone | None, room: int) -> list[Line]:
    lines: list[Line] = [
        (Span(f"call {call.call}: {clean_line(call.role)}", "heading"), Span(f"  {clean_line(call.model)}", "dim"))
    ]
    if end is not None:
        if end.error:
            lines += prose_lines(end.error, room, "bad")
        for label, blob in (("answer", end.answer_blob), ("thoughts before it", end.reasoning_blob)):
            if blob:
                lines += [_label(label), *prose_lines(_text(reader, blob), room)]
    for role, text in _messages(reader, call):
        lines += [_label(f"prompt: {role}"), *prose_lines(text, room)]
    if call.parameters:
        lines += [_label("model as configured"), *text_lines(_configured(call.parameters), "dim")]
    return [*lines, ()]


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
