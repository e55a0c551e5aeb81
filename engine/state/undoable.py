"""The acts of people that can be taken back, as the journal tells them: what each did, and what stood there before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.journal import events as ev
from engine.journal.events import Event
from engine.state.run_state import RunState
from engine.state.undo_record import Act

__all__ = ["UNDO_HANDLERS", "remembered"]

_MOST = 50
"""Acts that can be taken back, one after the other: each may name thousands of nodes."""
_OF: dict[str, tuple[type[ev.Data], ...]] = {
    "star": (ev.NodeStarred,),
    "comment": (ev.NodeCommented,),
    "pin": (ev.NodePinned,),
    "unpin": (ev.NodeUnpinned,),
    "prune": (ev.NodePruned, ev.NodeUnpinned),
    "restore": (ev.NodeRestored,),
    "inject": (ev.Injected,),
    "set": (ev.SettingsChanged,),
    "arm": (ev.PauseArmed,),
}
"""The events of each kind of command that can be taken back."""
_SEVERAL = ("pin", "unpin", "prune", "restore")
"""Commands with more than one event; what stands right before the event of another one is no part of it."""

_Handlers = Mapping[str, Callable[[RunState, Event, Any], None]]


def remembered(handlers: _Handlers) -> dict[str, Callable[[RunState, Event, Any], None]]:
    """Return handlers that also remember the events of acts, with what stood there before."""
    kinds = {kind.KIND for kinds in _OF.values() for kind in kinds}
    return {kind: _remembering(handler) if kind in kinds else handler for kind, handler in handlers.items()}


def _remembering(handler: Callable[[RunState, Event, Any], None]) -> Callable[[RunState, Event, Any], None]:
    def take(state: RunState, event: Event, data: Any) -> None:
        before = _before(state, data)
        handler(state, event, data)
        if state.recent_acts and state.recent_acts[-1][0].seq != event.seq - 1:
            state.recent_acts = []
        state.recent_acts.append((event, before))

    return take


def _before(state: RunState, data: ev.Data) -> Any:
    """Return what an event replaces, if the state does not tell that afterwards."""
    if isinstance(data, ev.PauseArmed):
        return state.armed
    if isinstance(data, ev.SettingsChanged):
        return _values(msgspec.to_builtins(state.settings), data.settings)
    return None


def _values(table: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return the present values of the keys of a change; without those that are not there."""
    found = {}
    for key, value in change.items():
        if key not in table:
            continue
        both = isinstance(value, Mapping) and isinstance(table[key], Mapping) and value
        found[key] = _values(table[key], value) if both else table[key]
    return found


def _command_done(state: RunState, event: Event, data: ev.CommandDone) -> None:
    """The events of a command stand right before its answer."""
    recent, state.recent_acts = state.recent_acts, []
    wanted = _OF.get(data.name)
    if not data.ok or wanted is None or not recent or recent[-1][0].seq != event.seq - 1:
        return
    if data.name not in _SEVERAL:
        recent = recent[-1:]
    while recent and not isinstance(recent[0][0].data, wanted):
        del recent[0]
    if recent and all(isinstance(item.data, wanted) for item, _ in recent):
        events = tuple(item for item, _ in recent)
        state.acts.append(Act(event.seq, event.at, data.name, data.result, events, recent[0][1]))
        del state.acts[:-_MOST]


def _undone(state: RunState, event: Event, data: ev.ActUndone) -> None:
    act = next((act for act in state.acts if act.seq == data.act), None)
    if act is None:
        return
    state.acts = [other for other in state.acts if other is not act]
    for done in act.events:
        if isinstance(done.data, ev.Injected):
            state.injected.pop(done.seq, None)
            if done.data.what == "hint":
                _drop_last(state.hints, done.data.text)
        elif isinstance(done.data, ev.NodeCommented) and done.node is None:
            _drop_last(state.comments, done.data.text)
        elif isinstance(done.data, ev.NodeCommented):
            node = state.node(done.node)
            left = list(node.comments)
            _drop_last(left, done.data.text)
            node.comments = tuple(left)


def _drop_last(texts: list[str], text: str) -> None:
    for place in range(len(texts) - 1, -1, -1):
        if texts[place] == text:
            del texts[place]
            return


UNDO_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.CommandDone.KIND: _command_done,
    ev.ActUndone.KIND: _undone,
}
"""By kind, what takes an event into a state."""
