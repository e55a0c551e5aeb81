"""How far a run has come to the best value that is known for its task."""

from __future__ import annotations

from typing import Any

from engine.state.run_state import RunState
from engine.task.records import share_of_way

__all__ = ["describe_claim", "describe_record", "record_entry", "way_to_record"]


def way_to_record(state: RunState) -> float | None:
    """Return how much of the way from the first seed to the record the best is; None without one of the three."""
    record, best = state.spec.record, state.best_node
    seed = state.nodes[0].score if state.nodes else None
    if record is None or best is None or best.score is None or seed is None:
        return None
    return share_of_way(best.score, seed, record.value)


def record_entry(state: RunState) -> dict[str, Any] | None:
    """Return the record as data, with the share of the way to it; None if none is known."""
    record = state.spec.record
    if record is None:
        return None
    known = {"value": record.value, "who": record.who, "year": record.year, "source": record.source}
    return {**known, "share": way_to_record(state)}


def describe_claim(state: RunState, run: str = "RUN") -> str:
    """Return what is to be said of a best node past the record, with the command that verifies it; empty if it is not.

    Args:
        state: the run.
        run: its name, as it is typed.
    """
    record, best, spec = state.spec.record, state.best_node, state.spec
    if record is None or best is None or best.score is None or not spec.better(best.score, record.value):
        return ""
    # Lazy: few runs get there.
    from engine.task.load import exact_problems

    command = f"evolve verify {run} {best.id}"
    how = (
        f"'{command} --certificate FILE.json' lets others check it"
        if spec.name in exact_problems()
        else f"'{command}' measures it again"
    )
    return f"node {best.id} claims to be better, to be verified: {how}"


def describe_record(state: RunState) -> str:
    """Return a sentence about the record and how far the run has come to it; empty if no record is known.

    A score past the record is told as a claim: only a certificate that others can check makes it a record.
    """
    record, best = state.spec.record, state.best_node
    if record is None:
        return ""
    told = f"{record.value:.8g} ({record.who}, {record.year})"
    if claim := describe_claim(state):
        return f"{told}: {claim}"
    share = way_to_record(state)
    if share is None or best is None or best.score is None:
        return told
    off = abs(best.score - record.value)
    off = off / abs(record.value) if record.value else off
    return f"{told}: {share:.1%} of the way from the seed, {off:.2%} away"
