"""Live: a run as it goes, with the keys that steer it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.screens.base import BaseScreen
from tui.screens.fork import FORK, ask_for_fork
from tui.screens.run_view import Pace, RunView
from tui.screens.steering import live_actions
from tui.session import Session

__all__ = ["LiveScreen"]


class LiveScreen(BaseScreen):
    """A run as it goes.

    Args:
        session: the run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("C", "priors", "Priors", id="live.priors", tooltip="The knowledge about the task: read it, correct it"),
        Binding(
            "T", "replay", "Replay", id="live.replay", show=False, tooltip="Rewind: replay the run from its events"
        ),
        FORK,
        Binding("escape", "back", "Runs", id="live.back", tooltip="Clear the filter, or back to the runs"),
    ]

    title_ = "Live"
    about = (
        "The population of a run. Each row shows marks, score (or why there is none) and the node below its parent.\n"
        "If nodes are ranked by fitness, each row shows the fitness first, with the score beside it.\n"
        "Marks: ▲ best, ┃ on the best line of descent, ! pinned, * starred, x pruned.\n"
        "New nodes never move the row you read; f follows the newest or the best node."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.view = RunView(session, Pace())

    def compose_body(self) -> ComposeResult:
        """Compose the view of the run inside the keys that steer it."""
        with live_actions(self.session, lambda: self.view.chosen):
            yield self.view

    def on_screen_resume(self) -> None:
        """Show changes that came behind another screen."""
        self.view.paint_all()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the layout, then the view, to the new size."""
        super().on_resize(event)
        self.view.fit()

    def action_priors(self) -> None:
        """Show the priors."""
        self.navigator.show_priors(self.session.run)

    def action_replay(self) -> None:
        """Replay the run, standing at its newest event."""
        if self.session.model is not None:
            self.navigator.replay(self.session.run, self.session.model.state.seq, playing=False, came_from_live=True)

    def action_fork(self) -> None:
        """Fork the run at its newest event."""
        ask_for_fork(self, self.session)

    def action_back(self) -> None:
        """Clear the filter, or go back to the runs."""
        if not self.view.clear_filter():
            self.navigator.show_runs()
