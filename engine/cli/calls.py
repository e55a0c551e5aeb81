"""The model calls behind a node, as text and as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import visible

__all__ = ["calls_of", "print_calls", "spending"]


def calls_of(reader: JournalReader, node: Node) -> list[dict[str, Any]]:
    """Return every model call for a node or its round, oldest first: prompt, answer and cost."""
    events = [event for event in reader.round_events(node.round) if event.node in (None, node.id)]
    done = {event.data.call: event.data for event in events if isinstance(event.data, ev.CallDone)}
    found = []
    for event in events:
        if not isinstance(event.data, ev.CallStarted):
            continue
        call, end = event.data, done.get(event.data.call)
        prompt = msgspec.json.decode(reader.blob(call.prompt_blob)) if call.prompt_blob else {}
        entry: dict[str, Any] = {
            "call": call.call, "role": call.role, "model": call.model, "key": call.key, "at": event.at,
            "parameters": call.parameters, "messages": prompt.get("messages", []), "schema": prompt.get("schema"),
            "running": end is None,
        }  # fmt: skip
        if end is not None:
            entry |= {
                "answer": reader.text(end.answer_blob), "reasoning": reader.text(end.reasoning_blob),
                "tokens_in": end.tokens_in, "tokens_out": end.tokens_out, "tokens_cached": end.tokens_cached,
                "usd": end.usd, "priced": end.priced, "estimated": end.estimated, "seconds": end.seconds,
                "retries": end.retries, "refused": end.refused, "truncated": end.truncated,
                "replayed": end.replayed, "fault": end.fault, "error": end.error,
            }  # fmt: skip
        found.append(entry)
    return found


def print_calls(calls: list[dict[str, Any]]) -> None:
    """Print the calls one below the other, with control characters shown as escapes."""
    if not calls:
        print("\nno model was asked")
    for call in calls:
        print(f"\n=== call {call['call']}: {visible(call['role'])} {visible(call['model'])}, {visible(call['key'])}")
        print(_outcome(call))
        for message in call["messages"]:
            print(f"--- {visible(message['role'])}\n{visible(message['content']).rstrip()}")
        for label in ("reasoning", "answer"):
            if call.get(label):
                print(f"--- {label}\n{visible(call[label]).rstrip()}")


def _outcome(call: dict[str, Any]) -> str:
    if call["running"]:
        return "not answered yet"
    about = "about " if call["estimated"] else ""
    told = [f"{about}{call['tokens_in']:,} tokens in", f"{call['tokens_out']:,} out"]
    if call["tokens_cached"]:
        told.append(f"{call['tokens_cached']:,} of them from the endpoint's cache")
    told.append(f"{about}${call['usd']:.6f}" if call["priced"] else "no price known")
    told.append(f"{call['seconds']:.1f} s")
    told += [f"{call['retries']} further tries"] if call["retries"] else []
    told += [what for what in ("refused", "truncated", "replayed") if call[what]]
    told += [f"error: {visible(call['error'])}"] if call["error"] else []
    return ", ".join(told)


def spending(state: RunState) -> str:
    """Return the cost of models so far on one line; empty if no model was asked."""
    if not state.spent:
        return ""
    calls = ", ".join(f"{spent.calls} {role}" for role, spent in sorted(state.spent.items()))
    dollars = f"${state.usd:.4f}, " if state.usd else ""
    return f"models {dollars}{state.tokens:,} tokens; calls: {calls}"
