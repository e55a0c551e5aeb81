"""A standstill in words and as data, for people and scripts."""

from __future__ import annotations

from typing import Any

from engine.journal import events as ev
from engine.state.run_state import RunState
from engine.state.standstill import window_of
from engine.text import counted, one_line

__all__ = ["action_told", "credits_told", "standstill_cell", "standstill_entry", "standstill_line", "standstill_told"]

_TOLD = {
    "modes": "whole programs and crossovers more often",
    "lessons": "the designer is told what was tried in vain",
    "explore": "parents are drawn almost evenly",
}


def action_told(acted: ev.StandstillActed) -> str:
    """Return what an action changes, in a few words."""
    if acted.action == "model":
        return f"{one_line(acted.model, 40)} designs"
    if acted.action == "restart":
        return f"a restart from {', '.join(f'#{node}' for node in acted.nodes) or 'nothing'}"
    return _TOLD.get(acted.action, one_line(acted.action, 40))


def standstill_line(event: ev.Event) -> str:
    """Return one line on an event about a standstill; empty for other events."""
    match event.data:
        case ev.StandstillBegan() as data:
            return (
                f"stands still: no gain in {counted(data.evaluations, 'evaluation')}, "
                f"of which {data.window} make a standstill"
            )
        case ev.StandstillActed() as data:
            about = f"{action_told(data)} ({one_line(data.why, 100)})"
            return f"against the standstill, in half of {counted(data.rounds, 'round')}: {about}"
        case ev.StandstillEnded() as data:
            by = f", under '{one_line(data.action, 40)}'" if data.action else ""
            after = counted(data.evaluations, "evaluation")
            return f"out of the standstill after {after}: #{event.node} +{data.gain:.4g}{by}"
    return ""


def _is_in_force(state: RunState) -> bool:
    still = state.standstill
    if still.acted is None or state.settings.standstill.action != "act":
        return False
    return state.rounds_started - still.acted_round <= still.acted.rounds


def standstill_told(state: RunState) -> str:
    """Return in one line that a run stands still, and what is tried against it; empty if it does not."""
    still = state.standstill
    if still.began is None or state.settings.standstill.action == "off":
        return ""
    told = f"stands still: no gain in {counted(still.waited, 'evaluation')}"
    if _is_in_force(state) and still.acted is not None:
        told += f"; {still.acted.action}: {action_told(still.acted)}"
    return told


def standstill_cell(state: RunState) -> str:
    """Return the same in a few cells: `still 24 explore`; empty if the run does not stand still."""
    still = state.standstill
    if still.began is None or state.settings.standstill.action == "off":
        return ""
    acted = f" {one_line(still.acted.action, 8)}" if _is_in_force(state) and still.acted is not None else ""
    return f"still {still.waited}{acted}"


def credits_told(state: RunState) -> str:
    """Return what each action brought so far in the run; empty if none was taken."""
    return ", ".join(
        f"{one_line(name, 40)} {credit.gain:.4g} in {counted(credit.tries, 'evaluation')}"
        for name, credit in state.standstill.credits.items()
    )


def standstill_entry(state: RunState) -> dict[str, Any]:
    """Return the pace of a run's gains and its standstill as data.

    `since` is the evaluations since the last gain that counted, `window` how many make a standstill, `standing`
    whether it is recorded that the run stands still, `action` what is in force, `credits` what each action brought.
    """
    still = state.standstill
    return {
        "standing": still.began is not None,
        "since": still.waited,
        "window": window_of(state),
        "action": still.acted.action if _is_in_force(state) and still.acted is not None else None,
        "credits": {
            name: {"chosen": credit.chosen, "evaluations": credit.tries, "gain": credit.gain}
            for name, credit in still.credits.items()
        },
    }
