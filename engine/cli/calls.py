"""The model calls of a run, of a round or behind a node, as text and as JSON."""

from __future__ import annotations

import dataclasses
from itertools import takewhile
from typing import Any

import msgspec

from engine.cli.table import print_table
from engine.errors import RunError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.calls import CallEntry, RoundCalls, calls_among, calls_of_run, share_cached, sums_by_round
from engine.runs.folder import Run
from engine.runs.prices import told_prices
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.state.trouble import describe_in_vain
from engine.text import counted, one_line, visible

__all__ = ["calls_of", "print_calls", "print_round", "print_run_calls", "round_of", "run_calls", "spending"]

_LEAST_SAME = 5
"""Lines that begin as before from which on they are left out."""


def calls_of(reader: JournalReader, node: Node) -> list[dict[str, Any]]:
    """Return every model call for a node or its round, oldest first: prompt, answer and cost."""
    events = [event for event in reader.round_events(node.round) if event.node in (None, node.id)]
    return [_whole(reader, call) for call in calls_among(events)]


def round_of(reader: JournalReader, number: int) -> dict[str, Any]:
    """Return a round: what it was shown, what was refused and why, how it ended, and all its model calls.

    Raises:
        RunError: there is no such round.
    """
    events = reader.round_events(number)
    if not any(isinstance(event.data, ev.RoundStarted) for event in events):
        last = max((event.round or 0 for event in reader.events_of(ev.RoundStarted)), default=0)
        raise RunError(f"there is no round {number}", f"The rounds are 0 to {last}")
    learned = next((event.data for event in events if isinstance(event.data, ev.LearnDone)), None)
    ended = next((event.data for event in events if isinstance(event.data, ev.RoundEnded)), None)
    return {
        "round": number,
        "outcome": ended.outcome if ended is not None else None,
        "reason": ended.reason if ended is not None else "",
        "nodes": [event.node for event in events if isinstance(event.data, ev.DesignDone)],
        "shown": msgspec.to_builtins(learned) if learned is not None else None,
        "rejected": [
            {
                "attempt": data.attempt, "check": data.check, "reason": data.reason, "operator": data.operator,
                "code": reader.text(data.program), "call": data.call,
            }
            for event in events
            if isinstance(data := event.data, ev.DesignRejected)
        ],
        "calls": [_whole(reader, call) for call in calls_among(events)],
    }  # fmt: skip


def _entry(call: CallEntry) -> dict[str, Any]:
    """Return a call without its texts."""
    started, end = call.started, call.done
    entry: dict[str, Any] = {
        "call": started.call, "round": call.round, "node": call.node, "role": started.role, "model": started.model,
        "key": started.key, "at": call.at, "running": end is None, "prompt_tokens": started.tokens,
        "brief": started.brief, "aim": started.aim, "first_token_seconds": started.patience, "cap_tokens": started.cap,
        "continues": started.continues, "command": started.command,
        "outcome": call.outcome, "reason": call.reason,
        "tries": [msgspec.structs.asdict(retry) for retry in call.retries],
    }  # fmt: skip
    if end is not None:
        entry |= {
            "tokens_in": end.tokens_in, "tokens_out": end.tokens_out, "tokens_cached": end.tokens_cached,
            "tokens_thought": end.tokens_thought,
            "usd": end.usd, "priced": end.priced, "estimated": end.estimated, "seconds": end.seconds,
            "retries": end.retries, "refused": end.refused, "truncated": end.truncated, "ended_by": end.ended_by,
            "replayed": end.replayed, "fault": end.fault, "error": end.error, "notes": end.notes,
        }  # fmt: skip
    return entry


def _whole(reader: JournalReader, call: CallEntry) -> dict[str, Any]:
    """Return a call with its prompt and its answer."""
    started, end = call.started, call.done
    prompt = msgspec.json.decode(reader.blob(started.prompt_blob)) if started.prompt_blob else {}
    return _entry(call) | {
        "parameters": started.parameters,
        "messages": prompt.get("messages", []),
        "schema": prompt.get("schema"),
        "answer": reader.text(end.answer_blob) if end is not None else "",
        "reasoning": reader.text(end.reasoning_blob) if end is not None else "",
    }


def run_calls(reader: JournalReader) -> dict[str, Any]:
    """Return all calls of a run without their texts, and their sums by round."""
    calls = calls_of_run(reader)
    return {
        "calls": [_entry(call) for call in calls],
        "calls_by_round": [
            {**dataclasses.asdict(total), "share_cached": _share(total.tokens_in, total.tokens_cached)}
            for total in sums_by_round(calls)
        ],
    }


def _dollars(total: RoundCalls) -> str:
    """Return what a round cost, `?` if no price is known, with `+` if some are not."""
    if total.unpriced and not total.usd:
        return "?"
    return f"{total.usd:.4f}{'+' if total.unpriced else ''}"


def _share(tokens_in: int, tokens_cached: int) -> float:
    return round(min(1.0, tokens_cached / tokens_in), 4) if tokens_in else 0.0


def print_run_calls(run: Run, reader: JournalReader) -> None:
    """Print a line for each call of a run, then what each round came to."""
    calls = calls_of_run(reader)
    if not calls:
        print("no model was asked")
        return
    print_table(
        ["call", "round", "node", "role", "model", "in", "cached", "out", "$", "s", "outcome"],
        [_cells(call) for call in calls],
        ("node", "model", "$"),
    )
    print()
    print_table(
        ["round", "calls", "in", "cached", "out", "$", "s", "refused"],
        [
            [
                "–" if total.round is None else str(total.round), str(total.calls), f"{total.tokens_in:,}",
                share_cached(total.tokens_in, total.tokens_cached), f"{total.tokens_out:,}", _dollars(total),
                f"{total.seconds:.1f}", str(total.refused),
            ]
            for total in sums_by_round(calls)
        ],
    )  # fmt: skip
    print(f"\n'evolve show {run.typed} --round N' prints the prompts and answers of a round")


def _cells(call: CallEntry) -> list[str]:
    started, end = call.started, call.done
    start = [
        str(started.call), "–" if call.round is None else str(call.round), "–" if call.node is None else str(call.node),
        started.role, started.model,
    ]  # fmt: skip
    told = f"{call.outcome}: {one_line(call.reason, 300)}" if call.reason else call.outcome
    if end is None:
        return [*start, "", "", "", "", "", told]
    about = "~" if end.estimated else ""
    return [
        *start, f"{about}{end.tokens_in:,}", share_cached(end.tokens_in, end.tokens_cached),
        f"{about}{end.tokens_out:,}", f"{about}{end.usd:.4f}" if end.priced else "?", f"{end.seconds:.1f}", told,
    ]  # fmt: skip


def print_round(found: dict[str, Any]) -> None:
    """Print a round as `round_of` returns it."""
    reason = f": {visible(found['reason'])}" if found["reason"] else ""
    print(f"round {found['round']}: {(found['outcome'] or 'open').replace('_', ' ')}{reason}")
    shown = found["shown"]
    if shown is not None:
        beside = ", ".join(f"#{node}" for node in shown.get("inspirations", []))
        print(f"from #{shown['parent']}{f', shown {beside}' if beside else ''}; mode {shown.get('mode', 'diff')}")
    if found["nodes"]:
        print(f"made {', '.join(f'#{node}' for node in found['nodes'])}")
    for rejected in found["rejected"]:
        by = f" (call {rejected['call']})" if rejected["call"] else ""
        print(f"attempt {rejected['attempt'] + 1} refused{by}: {rejected['check']}: {visible(rejected['reason'])}")
    print_calls(found["calls"])


def print_calls(calls: list[dict[str, Any]]) -> None:
    """Print the calls one below the other, with control characters shown as escapes.

    Of a message that begins as the last call's did, as later attempts of a round do, only the rest is printed.
    """
    if not calls:
        print("\nno model was asked")
    before: dict[str, Any] = {}
    for call in calls:
        print(f"\n=== call {call['call']}: {visible(call['role'])} {visible(call['model'])}, {visible(call['key'])}")
        print(_outcome(call))
        for retry in call["tries"]:
            print(f"try {retry['number']} failed after {retry['seconds']:.1f} s: {visible(retry['reason'])}")
        for place, message in enumerate(call["messages"]):
            lines = visible(message["content"]).rstrip().split("\n")
            same = _same_lines(lines, before, place)
            where = f" ({counted(same, 'line')} as in call {before['call']})" if same else ""
            print(f"--- {visible(message['role'])}{where}", *lines[same:], sep="\n")
        before = call
        for label in ("reasoning", "answer"):
            if call.get(label):
                shown = "transcript" if call["command"] else label
                print(f"--- {shown}\n{visible(call[label]).rstrip()}")


def _same_lines(lines: list[str], before: dict[str, Any], place: int) -> int:
    """Return how many lines begin a message as the one at its place in another call; 0 for a few."""
    messages = before.get("messages", [])
    if place >= len(messages):
        return 0
    pairs = zip(lines, visible(messages[place]["content"]).rstrip().split("\n"), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return same if same >= _LEAST_SAME else 0


def _outcome(call: dict[str, Any]) -> str:
    if call["running"]:
        return "not answered yet"
    about = "about " if call["estimated"] else ""
    told = [f"{about}{call['tokens_in']:,} tokens in", f"{call['tokens_out']:,} out"]
    if call["command"] and not call["tokens_in"] + call["tokens_out"]:
        told = ["it told no tokens"]
    if call["tokens_thought"]:
        told[-1] += f" ({call['tokens_thought']:,} of them thoughts)"
    if call["continues"]:
        told.insert(0, f"goes on with call {call['continues']}")
    if call["tokens_cached"]:
        told.append(
            f"{call['tokens_cached']:,} of the prompt from the endpoint's cache "
            f"({share_cached(call['tokens_in'], call['tokens_cached'])})"
        )
    told.append(f"{about}${call['usd']:.6f}" if call["priced"] else "no price known")
    told.append(f"{call['seconds']:.1f} s")
    told += [f"{call['retries']} further tries"] if call["retries"] else []
    told += [what for what in ("refused", "truncated", "replayed") if call[what]]
    told += [f"hung up: {call['ended_by']}"] if call["ended_by"] and not call["error"] else []
    told += [f"error: {visible(call['error'])}"] if call["error"] else []
    told += [f"no design: {visible(call['reason'])}"] if call["reason"] and not call["error"] else []
    return ", ".join(told)


def spending(state: RunState) -> str:
    """Return the cost of models so far on one line; empty if no model was asked."""
    if not state.spent:
        return ""
    calls = ", ".join(f"{spent.calls} {role}" for role, spent in sorted(state.spent.items()))
    dollars = f"${state.usd:.4f}, " if state.usd else ""
    for told in told_prices(state.settings) if dollars else ():
        calls += f"; prices of {one_line(told, 300)}"
    vain = describe_in_vain(state)
    return f"models {dollars}{state.tokens:,} tokens; calls: {calls}" + (f"; in vain: {vain}" if vain else "")
