"""What happened in a run since some time: rounds, gains, failures by kind, pauses, acts, cost."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import RunState
from engine.state.trouble import in_vain
from engine.text import one_line

__all__ = ["Digest", "Digester", "describe_digest", "describe_span", "digest_run", "parse_since"]

_ACTS = {
    ev.Injected: "injected", ev.NodePinned: "pinned", ev.NodePruned: "pruned", ev.NodeStarred: "starred",
    ev.NodeCommented: "commented", ev.NodeRerun: "measured again", ev.SettingsChanged: "set",
    ev.PriorChanged: "changed a prior", ev.PriorAccepted: "accepted a prior", ev.PriorRejected: "rejected a prior",
    ev.ActUndone: "took back",
}  # fmt: skip
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


class Digest(msgspec.Struct):
    """What happened between two times."""

    since: int
    """Its beginning, in milliseconds since 1970."""
    until: int
    """Its end: the last event, or now if the run goes on."""
    rounds: int = 0
    nodes: int = 0
    best_before: float | None = None
    """What ranked the best node at the beginning."""
    best: float | None = None
    best_node: int | None = None
    best_name: str = ""
    improvements: int = 0
    failures: dict[str, int] = {}
    """Nodes that failed, by status and the beginning of the reason."""
    in_vain: int = 0
    """Tries, answers and designs of models that came to nothing."""
    pauses: dict[str, int] = {}
    """Pauses by their reason; empty for a person's."""
    standstills: int = 0
    """How often the run came to a standstill."""
    overcome: int = 0
    """How often it got out of one."""
    engines: int = 0
    """How often an engine started."""
    acts: dict[str, int] = {}
    usd: float = 0.0
    tokens: int = 0
    ended: str = ""
    """How the run ended, with the reason; empty if it did not."""


class Digester:
    """Collects a digest from a run's events, in order.

    Args:
        state: the run at the beginning.
        since: when that is, in milliseconds since 1970.
    """

    def __init__(self, state: RunState, since: int) -> None:
        best = state.best_node
        self.found = Digest(since, since, best_before=None if best is None else state.ranking.of(best))
        self._usd, self._tokens, self._vain = state.usd, state.tokens, sum(in_vain(state).values())

    def take(self, event: ev.Event) -> None:
        """Count one event."""
        found, data = self.found, event.data
        found.until = max(found.until, event.at)
        match data:
            case ev.RoundEnded() if event.round:
                found.rounds += 1
            case ev.EvalDone():
                found.nodes += 1
                if data.status != "ok":
                    _count(found.failures, f"{data.status}: {_kind(data.reason)}" if data.reason else data.status)
            case ev.BestCrowned():
                found.improvements += 1
            case ev.StandstillBegan():
                found.standstills += 1
            case ev.StandstillEnded():
                found.overcome += 1
            case ev.RunPaused():
                _count(found.pauses, _kind(data.reason))
            case ev.EngineStarted():
                found.engines += 1
                found.ended = ""
            case ev.RunFinished() | ev.RunStopped() | ev.RunFailed():
                found.ended = f"{data.KIND.removeprefix('run.')}: {one_line(data.reason, 200)}"
        act = _ACTS.get(type(data))
        if act is not None:
            _count(found.acts, act)

    def finish(self, state: RunState, now: int | None = None) -> Digest:
        """Return the digest.

        Args:
            state: the run at the end.
            now: the time, in milliseconds since 1970, if the run goes on.
        """
        best = state.best_node
        found = self.found
        found.until = max(found.until, now or 0)
        found.usd, found.tokens = state.usd - self._usd, state.tokens - self._tokens
        found.in_vain = sum(in_vain(state).values()) - self._vain
        if best is not None:
            found.best, found.best_node, found.best_name = state.ranking.of(best), best.id, one_line(best.name, 100)
        return found


def describe_digest(digest: Digest, metric: str) -> list[str]:
    """Return a digest as sentences, the most important first; at least one."""
    lines = []
    best = f"{digest.best:.6g} by #{digest.best_node}" if digest.best is not None else ""
    gains = _times(digest.improvements, "improvement")
    if digest.improvements and digest.best_before is not None:
        lines.append(f"best {metric} {digest.best_before:.6g} → {best}, {gains}: {digest.best_name}")
    elif digest.improvements:
        lines.append(f"best {metric} {best}, {gains}: {digest.best_name}")
    elif best:
        lines.append(f"best {metric} {best}, unchanged")
    lines.append(f"{_times(digest.rounds, 'round')}, {_times(digest.nodes, 'node')} measured")
    if digest.standstills or digest.overcome:
        lines.append(f"{_times(digest.standstills, 'standstill')}, {digest.overcome} overcome")
    failed = sum(digest.failures.values())
    if failed:
        lines.append(f"{_times(failed, 'failure')} of {_times(len(digest.failures), 'kind')}: {_list(digest.failures)}")
    if digest.in_vain:
        lines.append(f"{_times(digest.in_vain, 'try', 'tries')} of models in vain")
    if digest.pauses:
        reasons = {reason or "by a person": number for reason, number in digest.pauses.items()}
        lines.append(f"{_times(sum(reasons.values()), 'pause')}: {_list(reasons)}")
    if digest.engines:
        lines.append(f"{_times(digest.engines, 'start')} of an engine")
    if digest.acts:
        lines.append(f"people: {_list(digest.acts)}")
    if digest.tokens or digest.usd:
        lines.append(f"{digest.tokens:,} tokens" + (f", ${digest.usd:.4f}" if digest.usd else ""))
    if digest.ended:
        lines.append(digest.ended)
    return lines


def describe_span(milliseconds: int) -> str:
    """Return a duration in words: `3 h 10 min`, `2 d 4 h`, `40 s`."""
    seconds = max(0, milliseconds) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def parse_since(text: str, now: int) -> int:
    """Return the time that a person means, in milliseconds since 1970.

    Args:
        text: `3h`, `90m`, `2d`, `14:30` (the last time it was that), or a local date and time `2026-11-29 02:10`.
        now: the time, in milliseconds since 1970.

    Raises:
        UsageError: it is none of these.
    """
    text = text.strip()
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", text):
        return now - int(float(found[1]) * _UNITS[found[2]] * 1000)
    for form in ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        try:
            return int(time.mktime(time.strptime(text, form)) * 1000)
        except (ValueError, OverflowError):
            continue
    try:
        clock = time.strptime(text, "%H:%M")
    except ValueError:
        raise UsageError(
            f"'{one_line(text, 40)}' is no time", "as in 3h, 90m, 2d, 14:30 or '2026-11-29 02:10'"
        ) from None
    today = time.localtime(now / 1000)
    at = int(time.mktime((*today[:3], clock.tm_hour, clock.tm_min, 0, 0, 0, -1)) * 1000)
    return at if at <= now else at - 86_400_000


def digest_run(run: Run, begin: int | None) -> tuple[Digest, RunState]:
    """Return what happened in a run since a time, and the run's state now.

    Args:
        run: the run.
        begin: the time, in milliseconds since 1970; None for the run's start.

    Raises:
        JournalError: the journal cannot be read or does not fold.
    """
    digester: Digester | None = None
    with JournalReader(run.db) as reader:
        state = first_state(reader)
        since = max(state.started_at, begin or 0)
        with damage_named(reader.path):
            for event in reader.events(after=state.seq):
                if digester is None and event.at > since:
                    digester = Digester(state, since)
                apply(state, event)
                if digester is not None:
                    digester.take(event)
    return (digester or Digester(state, since)).finish(state, now_ms() if is_alive(run) else None), state


def _kind(reason: str) -> str:
    """Return the beginning of a reason with numbers left out, so that equal ones count as one kind."""
    # The numbers of an address name the endpoint.
    told = re.sub(r"(https?://\S+)|\d+(\.\d+)?(e[+-]?\d+)?", lambda found: found[1] or "…", one_line(reason, 80))
    return told.partition(";")[0][:60].rstrip(" ,:")


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


def _list(counts: dict[str, int]) -> str:
    found: Iterable[tuple[str, int]] = Counter(counts).most_common(4)
    more = f", and {len(counts) - 4} more" if len(counts) > 4 else ""
    return ", ".join(f"{number} × {what}" if number > 1 else what for what, number in found) + more


def _times(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"
