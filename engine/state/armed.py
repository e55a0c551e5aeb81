"""A pause that a person asked for at a later moment: when it is due, and in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal.events import Event, PauseArmed
from engine.state.run_state import RunState

__all__ = ["ARMED_HANDLERS", "describe_armed", "due_pause"]


def _armed(state: RunState, event: Event, data: PauseArmed) -> None:
    state.armed = data if data.at else None
    state.armed_seq = event.seq


ARMED_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {PauseArmed.KIND: _armed}
"""What its event does to the state."""


def describe_armed(armed: PauseArmed) -> str:
    """Return when the run will pause, as the end of a sentence."""
    return "at the next new best" if armed.at == "best" else f"when round {armed.round} ends"


def due_pause(state: RunState) -> str:
    """Return why the run is to pause now, as was asked; empty if no such moment has come."""
    armed = state.armed
    if armed is None:
        return ""
    if armed.at == "best":
        step = state.best_steps[-1] if state.best_steps else None
        return f"#{step.node} is a new best, as asked" if step is not None and step.seq > state.armed_seq else ""
    number = armed.round or 0
    ended = number <= state.rounds_started and number not in state.open_rounds
    return f"round {number} has ended, as asked" if ended else ""
