"""Limits of a run: its rounds, its target, its patience, and budgets of time and money."""

from __future__ import annotations

from engine.journal import events as ev
from engine.state.no_design import reason_of, was_in_vain
from engine.state.run_state import RunState
from engine.task.spec import TaskSpec

__all__ = ["limit_reached", "new_warnings"]

_WARN_AT = (0.5, 0.8)


def limit_reached(state: RunState, spec: TaskSpec, usd: float, tokens: float) -> ev.RunFinished | ev.RunStopped | None:
    """Return the event that ends the run because a limit is reached; None if no limit is.

    Args:
        state: the run as it is.
        spec: its task.
        usd: dollars that calls in flight may cost.
        tokens: tokens that they may take.
    """
    settings, best = state.settings, state.best_node
    if settings.target is not None and best is not None and best.score is not None:
        # Reached is reached, without the tolerance that tells a gain from noise.
        sign = 1 if spec.direction == "maximize" else -1
        if sign * best.score >= sign * settings.target:
            return ev.RunFinished(f"the target {settings.target:g} is reached")
    if state.rounds_started >= settings.rounds:
        return _done(state, f"{settings.rounds} rounds are done")
    if settings.patience is not None and state.rounds_done - state.rounds_at_best >= settings.patience:
        return _done(state, f"no new best in {settings.patience} rounds")
    if settings.hours is not None and state.engine_ms >= settings.hours * 3_600_000:
        return ev.RunStopped(f"the {settings.hours:g} hours are used up")
    if settings.usd is not None and state.usd + usd >= settings.usd:
        return ev.RunStopped(f"the {settings.usd:g} dollars are spent")
    if settings.tokens is not None and state.tokens + tokens >= settings.tokens:
        return ev.RunStopped(f"the {settings.tokens} tokens are spent")
    return None


def _done(state: RunState, reason: str) -> ev.RunFinished | ev.RunStopped:
    """Return the end of a run: finished, or stopped if no round made a node."""
    return ev.RunStopped(reason_of(state)) if was_in_vain(state) else ev.RunFinished(reason)


def new_warnings(state: RunState) -> list[ev.BudgetWarned]:
    """Return budget warnings not yet issued: one for each budget that has since passed a half, or four fifths."""
    settings, warnings = state.settings, []
    spent = {
        "hours": (state.engine_ms / 3_600_000, settings.hours),
        "usd": (state.usd, settings.usd),
        "tokens": (float(state.tokens), settings.tokens),
    }
    for name, (used, limit) in spent.items():
        if not limit:
            continue
        share = max((share for share in _WARN_AT if used >= share * limit), default=0.0)
        if share > state.warned.get(name, 0.0):
            warnings.append(ev.BudgetWarned(budget=name, spent=used, limit=float(limit), share=share))
    return warnings
