"""Fork the run of a screen at the event shown."""

from __future__ import annotations

from textual.binding import Binding

from engine.runs.folder import Run
from tui import acts
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt
from tui.session import Session

__all__ = ["FORK", "ask_for_fork"]

FORK = Binding("F", "fork", "Fork", id="live.fork", show=False, tooltip="Start a new run from the event shown")


def ask_for_fork(screen: BaseScreen, session: Session) -> None:
    """Ask for a name, make a new run of the events up to the one shown, and show it."""
    model, run, navigator = session.model, session.run, screen.navigator
    if model is None:
        return
    seq = model.state.seq
    made: list[Run] = []

    def fork(name: str) -> None:
        made.append(acts.fork_run_at(run, navigator.runs, seq, name.strip()))

    def show(name: str | None) -> None:
        if made:
            navigator.attach(made[0])
            navigator.call_after_refresh(navigator.say, f"'{made[0].name}' is a new run; p starts it", "ok")

    question = f"Fork '{run.name}' at event {seq:,} as:"
    screen.app.push_screen(Prompt(question, f"{run.name}-at-{seq}", act=fork), show)
