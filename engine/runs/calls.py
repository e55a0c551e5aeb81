"""Read the model calls of a run, each with its result, for lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.journal import events as ev
from engine.journal.reader import JournalReader

__all__ = ["CallEntry", "RoundCalls", "calls_among", "calls_of_run", "share_cached", "sums_by_round"]


@dataclass
class CallEntry:
    """A call with its request, its end and its result."""

    started: ev.CallStarted
    at: int
    """When it was asked, in milliseconds since 1970."""
    round: int | None
    node: int | None
    done: ev.CallDone | None = None
    """None while it runs."""
    retries: list[ev.CallRetried] = field(default_factory=list)
    refused: ev.DesignRejected | None = None
    """Why its answer made no node; None if it did, or was no design."""

    @property
    def outcome(self) -> str:
        """The result in a few words, without the reason."""
        if self.done is None:
            return "asked"
        words = [word for word in ("refused", "truncated", "replayed") if getattr(self.done, word)]
        if self.done.ended_by and not self.done.error:
            words.append(f"hung up: {self.done.ended_by}")
        if self.done.error:
            words.append(self.done.fault or "failed")
        if self.refused is not None and not self.done.error:
            words.append(f"no design: {self.refused.check}")
        if self.done.retries:
            words.append("1 retry" if self.done.retries == 1 else f"{self.done.retries} retries")
        return ", ".join(words) or "answered"

    @property
    def reason(self) -> str:
        """Why there was no answer, or why it could not be used; empty if it was."""
        if self.done is not None and self.done.error:
            return self.done.error
        return self.refused.reason if self.refused is not None else ""


@dataclass
class RoundCalls:
    """Sums over the calls of a round."""

    round: int | None
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    usd: float = 0.0
    unpriced: int = 0
    """Calls of models without a known price, which `usd` leaves out."""
    seconds: float = 0.0
    refused: int = 0


def calls_of_run(reader: JournalReader, upto: int | None = None) -> list[CallEntry]:
    """Return every call of a run up to an event, oldest first; goes through the events of four kinds."""
    kinds = (ev.CallStarted, ev.CallRetried, ev.CallDone, ev.DesignRejected)
    found = [event for kind in kinds for event in reader.events_of(kind) if upto is None or event.seq <= upto]
    return calls_among(sorted(found, key=lambda event: event.seq))


def calls_among(events: Iterable[ev.Event]) -> list[CallEntry]:
    """Return every call that is asked among some events, oldest first."""
    calls: dict[int, CallEntry] = {}
    designs: dict[tuple[int | None, str], CallEntry] = {}
    for event in events:
        match event.data:
            case ev.CallStarted() as data:
                entry = calls[data.call] = CallEntry(data, event.at, event.round, event.node)
                if event.node is None:
                    designs[event.round, data.key] = entry
            case ev.CallRetried() as data if data.call in calls:
                calls[data.call].retries.append(data)
            case ev.CallDone() as data if data.call in calls:
                calls[data.call].done = data
            case ev.DesignRejected() as data if (event.round, f"design/{data.attempt}") in designs:
                designs[event.round, f"design/{data.attempt}"].refused = data
    return list(calls.values())


def sums_by_round(calls: Sequence[CallEntry]) -> list[RoundCalls]:
    """Return the sums of the calls, round by round."""
    sums: dict[int | None, RoundCalls] = {}
    for call in calls:
        total = sums.setdefault(call.round, RoundCalls(call.round))
        total.calls += 1
        total.refused += call.refused is not None
        if call.done is not None:
            total.tokens_in += call.done.tokens_in
            total.tokens_out += call.done.tokens_out
            total.tokens_cached += call.done.tokens_cached
            total.usd += call.done.usd
            total.unpriced += not call.done.priced
            total.seconds += call.done.seconds
    return list(sums.values())


def share_cached(tokens_in: int, tokens_cached: int) -> str:
    """Return the share of prompts that came from the endpoint's cache, for people."""
    return f"{min(1.0, tokens_cached / tokens_in):.0%}" if tokens_in else "–"
