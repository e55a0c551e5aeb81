"""Take back the last act of a person that can be: the events that are its opposite, and one that says which it was."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import EvolveError
from engine.journal import events as ev
from engine.journal.events import Data, Event
from engine.runs.changes import check_fitness, check_set
from engine.runs.command_kinds import Refusal
from engine.settings.decode import leaf_paths
from engine.state.run_state import RunState
from engine.state.undo_record import Act

__all__ = ["Effects", "describe_act", "undo_last", "undoable"]

Effects = list[tuple[Data, int | None]]
"""Events, each with the node that it is about."""


def undo_last(state: RunState) -> tuple[Effects, str]:
    """Return what takes back the last act that can be taken back, and that in words; they name a later act that stays.

    Raises:
        Refusal: there is none.
        EvolveError: why the last act cannot be taken back, if no other can be either.
    """
    if not state.acts:
        raise Refusal(
            "there is nothing to undo",
            "Stars, pins, prunings, comments, hints, settings and later pauses can be undone; priors in their history",
            "unchanged",
        )
    act, effects, stay = _last_undoable(state)
    if act is None:
        raise stay[0]
    told = describe_act(act)
    events: Effects = [*effects, (ev.ActUndone(act.seq, act.name, told), None)]
    if not stay:
        return events, f"taken back: {told}"
    more = f", as do {len(stay) - 1:,} more" if len(stay) > 1 else ""
    return events, f"taken back: {told}; what came later stays{more}: {stay[0].message}"


def undoable(state: RunState) -> Act | None:
    """Return the last act that can be taken back; None if there is none."""
    return _last_undoable(state)[0]


def _last_undoable(state: RunState) -> tuple[Act | None, Effects, list[EvolveError]]:
    """Return the last act that can be taken back, its opposite, and why each later one stays, the last first."""
    stay: list[EvolveError] = []
    for act in reversed(state.acts):
        try:
            return act, _opposite(state, act), stay
        except EvolveError as exc:
            stay.append(exc)
    return None, [], stay


def describe_act(act: Act) -> str:
    """Return an act in a few words."""
    first = act.events[0]
    data, node = first.data, f"#{first.node}" if first.node is not None else ""
    match data:
        case ev.NodeStarred():
            return f"{'star' if data.starred else 'removal of the star'} of {node}"
        case ev.NodeCommented():
            return f"comment on {node or 'the run'}: {_begin(data.text)}"
        case ev.Injected():
            return f"hint: {_begin(data.text)}" if data.what == "hint" else f"injected program {_begin(data.name)}"
        case ev.SettingsChanged():
            return f"set {act.text or ', '.join(data.settings)}"
        case ev.PauseArmed():
            return "pause at a later moment" if data.at else "taking back a later pause"
    pruned = [event for event in act.events if not (act.name == "prune" and isinstance(event.data, ev.NodeUnpinned))]
    many = f" and {len(pruned) - 1:,} more" if len(pruned) > 1 else ""
    return f"{act.name} of #{pruned[0].node}{many}"


def _begin(text: str) -> str:
    flat = " ".join(text[:400].split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"


def _opposite(state: RunState, act: Act) -> Effects:
    """Return the events that make up for an act; some acts are taken back by `act.undone` alone."""
    if act.name == "set":
        return _set_back(state, act)
    if act.name == "arm":
        return _arm_back(state, act)
    if act.name == "inject":
        _check_waits(state, act.events[0])
    # Newest first: a node is unpinned before it is pruned, so that it is restored before it is pinned again.
    return [item for event in reversed(act.events) if (item := _reverse(state, event)) is not None]


def _reverse(state: RunState, event: Event) -> tuple[Data, int | None] | None:
    """Return the opposite of one event; None if what it did is no longer so, or has no opposite."""
    match event.data:
        case ev.NodeStarred(starred=starred):
            return None if state.node(event.node).starred != starred else (ev.NodeStarred(not starred), event.node)
        case ev.NodePinned():
            return (ev.NodeUnpinned(), event.node) if state.node(event.node).pinned else None
        case ev.NodeUnpinned():
            return None if state.node(event.node).pinned else (ev.NodePinned(), event.node)
        case ev.NodePruned():
            return (ev.NodeRestored(), event.node) if state.node(event.node).pruned else None
        case ev.NodeRestored():
            return None if state.node(event.node).pruned else (ev.NodePruned(), event.node)
    return None


def _check_waits(state: RunState, event: Event) -> None:
    if isinstance(event.data, ev.Injected) and event.data.what == "program" and event.seq not in state.injected:
        raise Refusal(f"the injected program '{_begin(event.data.name)}' has had its round", "Prune its node instead")


def _set_back(state: RunState, act: Act) -> Effects:
    change = act.events[0].data
    assert isinstance(change, ev.SettingsChanged)
    if check_set(state.settings, change.settings) != state.settings:
        paths = ", ".join(".".join(path) for path in leaf_paths(change.settings))
        raise Refusal(f"{paths} was changed again since, as by a fork", "Set what it is to be")
    now: Any = msgspec.to_builtins(state.settings)
    added = [
        ".".join(path) for path in leaf_paths(change.settings) if _lacks(act.before, path) and not _lacks(now, path)
    ]
    if added:
        raise Refusal(f"{', '.join(added)} was added, and a setting that was added cannot be taken away", "Change it")
    after = check_set(state.settings, act.before)
    if after.fitness != state.settings.fitness:
        check_fitness(state, after)
    return [(ev.SettingsChanged(act.before), None)]


def _arm_back(state: RunState, act: Act) -> Effects:
    armed = act.events[0].data
    assert isinstance(armed, ev.PauseArmed)
    if (state.armed or ev.PauseArmed()) != armed:
        raise Refusal("the moment of that pause has come")
    before: ev.PauseArmed = act.before or ev.PauseArmed()
    gone = before.at == "round" and (before.round or 0) <= state.rounds_started
    return [(ev.PauseArmed() if gone else before, None)]


def _lacks(table: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(table, dict) or key not in table:
            return True
        table = table[key]
    return False
