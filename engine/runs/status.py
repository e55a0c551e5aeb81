"""The status and the summary of a run: one source for the command line, exports, the application and the journal."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import msgspec

from engine.journal import events as ev
from engine.journal.checks import is_deep
from engine.journal.clock import iso_time
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.runs.labels import read_labels
from engine.settings.decode import deep_merge
from engine.settings.fitness import FitnessSettings
from engine.state.best_known import way_to_record
from engine.state.fold import fold_run
from engine.state.ranking import Figures, Ranking
from engine.state.run_state import RunState

__all__ = [
    "RunSummary",
    "best_entry",
    "best_of",
    "current_status",
    "kept_summary",
    "run_status",
    "run_summary",
    "started_ms",
    "summarize",
    "summary_now",
    "summary_of",
]


class RunSummary(TypedDict):
    """A run as lists show it; the object of `evolve runs --json`."""

    run: str
    name: str
    task: str
    status: str
    reason: str
    """Why it has this status; empty for a run that is running or dead."""
    rounds: int
    nodes: int
    best: dict[str, Any] | None
    ranked_by: str
    started: str
    """When its engine first started, or when it was forked from another run: an ISO time, UTC."""
    host: str
    usd: float
    tokens: int
    to_record: float | None
    """The share of the way from the seed to the best value known that its best has gone; None if none is known."""
    tags: list[str]
    archived: bool


def current_status(recorded: str, alive: bool) -> str:
    """Return a run's status: `running`, `paused`, `finished`, `stopped`, `failed` or `dead`.

    Args:
        recorded: the status that its journal says.
        alive: whether an engine holds it. Without one, an unfinished run is dead.
    """
    unfinished = recorded in ("running", "paused")
    if alive:
        return recorded if unfinished else "running"
    return "dead" if unfinished else recorded


def run_status(run: Run, state: RunState) -> str:
    """Return the status of a run that was folded; see `current_status`."""
    return current_status(state.status, is_alive(run))


def summary_now(run: Run, state: RunState) -> RunSummary:
    """Return the summary of a run that was folded."""
    return run_summary(run, summary_of(state), is_alive(run))


def summarize(run: Run) -> RunSummary:
    """Return the summary of a run, from `meta` if it was kept at the end, else by a fold.

    Raises:
        JournalError: its journal cannot be read.
    """
    with JournalReader(run.db) as reader:
        kept = kept_summary(reader) or summary_of(fold_run(reader))
    return run_summary(run, kept, is_alive(run))


def run_summary(run: Run, kept: dict[str, Any], alive: bool) -> RunSummary:
    """Return the summary of a run.

    Args:
        run: the run's folder.
        kept: the part that the journal alone tells, from `summary_of` or `kept_summary`.
        alive: whether an engine holds the run.
    """
    status, labels = current_status(kept["status"], alive), read_labels(run.folder)
    return RunSummary(
        run=str(run.folder),
        name=run.name,
        task=kept["task"],
        status=status,
        # The last recorded reason does not explain why an engine died.
        reason="" if status in ("dead", "running") else run.filled(kept.get("reason", "")),
        rounds=kept["rounds"],
        nodes=kept["nodes"],
        best=kept["best"],
        ranked_by=kept["ranked_by"],
        started=kept["started"],
        host=kept["host"],
        # Runs of earlier versions asked no model.
        usd=kept.get("usd", 0.0),
        tokens=kept.get("tokens", 0),
        to_record=kept.get("to_record"),
        tags=list(labels.tags),
        archived=labels.archived,
    )


def summary_of(state: RunState) -> dict[str, Any]:
    """Return the part of a summary that the journal alone tells; kept in `meta` at the end, so lists need no fold."""
    return {
        "seq": state.seq,
        "task": state.start.task,
        "status": state.status,
        "reason": state.reason,
        "rounds": state.rounds_done,
        "nodes": len(state.nodes),
        "best": best_entry(state),
        "ranked_by": state.ranking.key,
        # A fork starts when it leaves the other run, whose first event it has too.
        "started": iso_time(state.forked_at or state.started_at),
        "host": state.start.host,
        "usd": state.usd,
        "tokens": state.tokens,
        "to_record": way_to_record(state),
    }


class _Best(TypedDict):
    node: int
    score: float
    fitness: NotRequired[float]


class _Kept(TypedDict):
    """The result of `summary_of`; earlier versions wrote less."""

    seq: int
    task: str
    status: str
    reason: NotRequired[str]
    rounds: int
    nodes: int
    best: _Best | None
    ranked_by: NotRequired[str]
    started: str
    host: str
    usd: NotRequired[float]
    tokens: NotRequired[int]
    to_record: NotRequired[float | None]


def _is_sound(summary: _Kept) -> bool:
    """Tell whether the numbers of a summary can be counts."""
    return all(0 <= number < 1 << 52 for number in (summary["rounds"], summary["nodes"], summary.get("tokens", 0)))


def kept_summary(reader: JournalReader) -> dict[str, Any] | None:
    """Return the kept result of `summary_of` at the end of the run; None if the journal must be folded."""
    kept = reader.meta("summary")
    try:
        summary = msgspec.json.decode(kept, type=_Kept) if kept and not is_deep(kept) else None
    except msgspec.DecodeError:
        summary = None
    if summary is None or not _is_sound(summary) or summary["seq"] != reader.last_seq():
        return None
    if "to_record" in summary and "ranked_by" in summary:
        return {**summary}
    # Earlier versions kept less: of the best the score alone, from which its fitness follows if nothing else counts.
    first = next(reader.events(upto=1), None)
    started = first.data if first is not None else None
    if isinstance(started, ev.RunStarted) and started.spec.get("records"):
        return None
    if "ranked_by" in summary:
        return {**summary}
    settings = started.settings if isinstance(started, ev.RunStarted) else {}
    for event in reader.events_of(ev.SettingsChanged):
        settings = deep_merge(settings, getattr(event.data, "settings", {}))
    if not isinstance(started, ev.RunStarted) or not _fitness_of(settings).is_score:
        return None
    best = summary["best"]
    if best is not None:
        sign = 1.0 if started.spec.get("direction") == "maximize" else -1.0
        best["fitness"] = sign * best["score"]
    return {**summary, "ranked_by": "score"}


def _fitness_of(settings: dict[str, Any]) -> FitnessSettings:
    return msgspec.convert(settings.get("fitness", {}), FitnessSettings)


def best_entry(state: RunState) -> dict[str, Any] | None:
    """Return the best node as data: its number, its score, its fitness (higher is better)."""
    best = state.best_node
    return None if best is None else {"node": best.id, "score": best.score, "fitness": best.fitness}


def best_of(summary: Mapping[str, Any]) -> tuple[Figures | None, Ranking]:
    """Return the figures of a summary's best node, if there is one, and its ranking."""
    best = summary["best"]
    ranking = Ranking(by_fitness=summary["ranked_by"] == "fitness")
    return Figures(best["score"], best["fitness"]) if best else None, ranking


def started_ms(summary: Mapping[str, Any]) -> int:
    """Return when a run was started, in milliseconds since 1970, to the second."""
    return calendar.timegm(time.strptime(summary["started"], "%Y-%m-%dT%H:%M:%SZ")) * 1000
