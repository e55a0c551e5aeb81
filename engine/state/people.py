"""What the acts of people change in the state of a run: programs and hints, pins, prunings, stars, comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from engine.journal.events import Event
from engine.state.no_design import try_anew
from engine.state.run_state import RunState

__all__ = ["PEOPLE_HANDLERS"]


def _injected(state: RunState, event: Event, data: ev.Injected) -> None:
    try_anew(state)
    if data.what == "hint":
        state.hints.append(data.text)
    else:
        state.injected[event.seq] = data


def _pinned(state: RunState, event: Event, data: ev.NodePinned | ev.NodeUnpinned) -> None:
    node = state.node(event.node)
    node.pinned = isinstance(data, ev.NodePinned)
    state.pinned.pop(node.id, None)
    if node.pinned:
        state.pinned[node.id] = None


def _pruned(state: RunState, event: Event, data: ev.NodePruned | ev.NodeRestored) -> None:
    state.node(event.node).pruned = isinstance(data, ev.NodePruned)


def _starred(state: RunState, event: Event, data: ev.NodeStarred) -> None:
    state.node(event.node).starred = data.starred


def _commented(state: RunState, event: Event, data: ev.NodeCommented) -> None:
    if event.node is None:
        state.comments.append(data.text)
    else:
        state.node(event.node).comments += (data.text,)


PEOPLE_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.Injected.KIND: _injected,
    ev.NodePinned.KIND: _pinned,
    ev.NodeUnpinned.KIND: _pinned,
    ev.NodePruned.KIND: _pruned,
    ev.NodeRestored.KIND: _pruned,
    ev.NodeStarred.KIND: _starred,
    ev.NodeCommented.KIND: _commented,
}
"""By kind, what takes an event into a state."""
