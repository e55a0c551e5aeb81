"""What a run has done since a person last watched it, in one line, from what is loaded anyway."""

from __future__ import annotations

from engine.runs.digest import describe_span
from tui.model.run_model import RunModel

__all__ = ["describe_away"]

_LEAST_MS = 120_000
"""An absence shorter than this is none."""


def describe_away(model: RunModel, seen: int | None, now: int) -> str:
    """Return one line on what happened since `seen`; empty if nothing did, or if nobody was away.

    Args:
        model: the run.
        seen: when it was last watched, in milliseconds since 1970; None if it never was.
        now: the time, in milliseconds since 1970.
    """
    state = model.state
    if seen is None or now - seen < _LEAST_MS or state.at <= seen:
        return ""
    fresh = [node for node in state.nodes if node.designed_at > seen and node.status is not None]
    failed = sum(node.status != "ok" for node in fresh)
    before = next((step for step in reversed(state.best_steps) if step.at <= seen), None)
    best, ranking = state.best_node, state.ranking
    parts = [f"{len(fresh):,} node{'s' if len(fresh) != 1 else ''}" + (f", {failed:,} failed" if failed else "")]
    if best is not None and (before is None or before.node != best.id):
        value, old = ranking.of(best), ranking.of(before) if before is not None else None
        shown = "" if old is None else f"{old:.6g} → "
        parts.append(f"best {shown}{value:.6g} by #{best.id}" if value is not None else f"best #{best.id}")
    else:
        parts.append("no new best")
    if state.status in ("finished", "stopped", "failed", "paused"):
        parts.append(state.status)
    return f"since you left, {describe_span(now - seen)} ago: {', '.join(parts)}"
