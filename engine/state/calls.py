"""Change the state of a run by events about calls of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from engine.journal.events import REQUEST_KINDS, Event
from engine.state.mode_choice import count_cost
from engine.state.model_record import ModelRecord
from engine.state.node import RoleSpent
from engine.state.run_state import RunState
from engine.state.trouble import count_call, count_retry, count_start

__all__ = ["CALL_HANDLERS"]


def _call_started(state: RunState, event: Event, data: ev.CallStarted) -> None:
    state.last_call = max(state.last_call, data.call)
    state.calls[data.call] = event
    count_start(state, data)


def _call_told(state: RunState, event: Event, data: ev.CallTold) -> None:
    if data.call in state.calls:
        state.told[data.call] = data


def _call_done(state: RunState, event: Event, data: ev.CallDone) -> None:
    _note_speed(state, state.calls.pop(data.call, None), data)
    state.told.pop(data.call, None)
    count_call(state, data)
    state.usd += data.usd
    state.tokens += data.tokens_in + data.tokens_out
    if data.tokens_in + data.tokens_out:
        spent = state.spent.setdefault(data.role, RoleSpent())
        spent.calls += 1
        spent.usd += data.usd
        spent.tokens += data.tokens_in + data.tokens_out
    if data.key.startswith("design/"):
        record = state.models.setdefault(data.model, ModelRecord())
        record.asked += not data.error
        record.usd += data.usd
        record.tokens += data.tokens_in + data.tokens_out
        count_cost(state, state.open_rounds.get(event.round or 0), data)
    if data.key and (not data.error or data.fault in REQUEST_KINDS):
        state.answered[event.round, event.node, data.key] = data


def _note_speed(state: RunState, started: Event | None, data: ev.CallDone) -> None:
    """Keep what an endpoint has shown, for the engine of a later day."""
    if started is not None and isinstance(started.data, ev.CallStarted) and (data.reading or data.characters):
        record = state.models.setdefault(data.model, ModelRecord())
        asked = started.data.parameters
        record.endpoint = (str(asked.get("base_url", "")), str(asked.get("model", "")))
        record.reading, record.characters = data.reading, data.characters


CALL_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.CallStarted.KIND: _call_started,
    ev.CallRetried.KIND: count_retry,
    ev.CallTold.KIND: _call_told,
    ev.CallDone.KIND: _call_done,
}
"""By kind, what takes an event into a state."""
