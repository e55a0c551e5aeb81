"""Live: a run as it goes, and all that can be asked of it."""

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
        Binding("C", "priors", "Priors", id="live.priors", tooltip="What is known of the task: read it, correct it"),
        Binding("T", "replay", "Replay", id="live.replay", show=False, tooltip="Rewind: see how the run went"),
        FORK,
        Binding("escape", "back", "Runs", id="live.back", tooltip="Clear the filter, or back to the runs"),
    ]

    title_ = "Live"
    about = (
        "The population of a run. Each row shows marks, score (or what came instead), and the node below its parent.\n"
        "Where nodes are ranked by their fitness, that stands first, with the score beside it.\n"
        "Marks: ▲ best, ┃ on the best line of descent, ! pinned, * starred, x pruned.\n"
        "Nothing that comes in moves the row you read; f follows the newest or the best node."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.view = RunView(session, Pace())

    def compose_body(self) -> ComposeResult:
        """The view of the run, steered."""
        with live_actions(self.session, lambda: self.view.chosen):
            yield self.view

    def on_screen_resume(self) -> None:
        """Show what changed behind another screen."""
        self.view.paint_all()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the layout, then the view, to the size."""
        super().on_resize(event)
        self.view.fit()

    def action_priors(self) -> None:
        """Show the priors."""
        self.navigator.show_priors(self.session.run)

    def action_replay(self) -> None:
        """See how the run went, beginning where it is now."""
        if self.session.model is not None:
            self.navigator.replay(self.session.run, self.session.model.state.seq, playing=False, came_from_live=True)

    def action_fork(self) -> None:
        """Begin a new run at the newest event."""
        ask_for_fork(self, self.session)

    def action_back(self) -> None:
        """Clear the filter, or go back to the runs."""
        if not self.view.clear_filter():
            self.navigator.show_runs()
