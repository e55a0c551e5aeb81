"""Notifications of the desktop, which the terminal shows when it is sent a control sequence."""

from __future__ import annotations

from typing import Literal

from engine.journal.events import BestCrowned, Event, RunFailed, RunFinished, RunStopped
from engine.state.run_state import RunState
from engine.text import one_line

__all__ = ["NOTIFIED", "Notify", "notice_of", "notify_sequence"]

Notify = Literal["off", "osc9", "osc777"]

NOTIFIED = (BestCrowned, RunFinished, RunFailed, RunStopped)
"""Events that a notification tells."""
_MOST = 120


def notice_of(event: Event, state: RunState) -> str:
    """Return what is told of an event, one of `NOTIFIED`."""
    data = event.data
    if isinstance(data, BestCrowned):
        node = state.nodes[event.node or 0]
        return f"new best {state.ranking.describe(node)}, #{node.id}"
    assert isinstance(data, RunFinished | RunFailed | RunStopped)
    return f"{data.KIND.removeprefix('run.')}: {data.reason}"


def notify_sequence(kind: Notify, title: str, text: str, in_tmux: bool) -> str:
    """Return the bytes that have a terminal notify; empty if it is not to.

    Args:
        kind: `osc9` (iTerm2, WezTerm, kitty, Windows Terminal) or `osc777` (urxvt, foot, Ghostty, WezTerm).
        title: the run's name.
        text: what happened.
        in_tmux: wrap it, so that tmux with `allow-passthrough on` hands it to the terminal.
    """
    if kind == "off":
        return ""
    # A semicolon parts the fields, and what is left of control characters would end the sequence.
    name, said = (one_line(part, _MOST).replace(";", ",") for part in (title, text))
    body = f"9;{name}: {said}" if kind == "osc9" else f"777;notify;{name};{said}"
    sequence = f"\x1b]{body}\x07"
    return "\x1bPtmux;{}\x1b\\".format(sequence.replace("\x1b", "\x1b\x1b")) if in_tmux else sequence
