"""Live: a run as it goes, with the keys that steer it."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.journal.clock import now_ms
from engine.runs.digest import describe_digest, describe_span, digest_run
from engine.runs.seen import last_seen, mark_seen
from engine.text import one_line
from tui.model.away import describe_away
from tui.model.document import text_lines
from tui.screens.base import BaseScreen
from tui.screens.fork import FORK, ask_for_fork
from tui.screens.reading import ReadingScreen
from tui.screens.run_screens import RunScreens
from tui.screens.run_view import Pace, RunView
from tui.screens.steering import live_actions
from tui.session import ModelChange, Session

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
        Binding(
            "B", "digest", "Digest", id="live.digest", show=False, tooltip="What happened since you last watched it"
        ),
        FORK,
        Binding(
            "escape", "back", "Runs", id="live.back", tooltip="Undo enlarging, focus or filter, or back to the runs"
        ),
    ]

    title_ = "Live"
    about = (
        "The population of a run. Each row shows marks, score (or why there is none) and the node below its parent.\n"
        "If nodes are ranked by fitness, each row shows the fitness first, with the score beside it.\n"
        "Marks: ▲ best, ┃ on the best line of descent, ! pinned, * starred, x pruned, ? quarantined, / over a bound.\n"
        "New nodes never move the row you read; f follows the newest or the best node."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.view = RunView(session, Pace())
        self._seen = last_seen(session.run)

    def compose_body(self) -> ComposeResult:
        """Compose the view of the run inside the keys that steer it."""
        with live_actions(self.session, lambda: self.view.chosen), RunScreens(self.session):
            yield self.view

    def on_mount(self) -> None:
        """Wait for the run, to tell what happened while nobody watched."""
        self.session.subscribe(self._tell_away)

    def on_unmount(self) -> None:
        """Remember when the run was last watched."""
        self.session.unsubscribe(self._tell_away)
        if self.navigator.access != "read":
            mark_seen(self.session.run)

    def _tell_away(self, change: ModelChange) -> None:
        if self.session.model is not None:
            self.session.unsubscribe(self._tell_away)
            told = describe_away(self.session.model, self._seen, now_ms())
            if told:
                self.say(f"{told}; B tells more", "accent", 15.0)

    def action_digest(self) -> None:
        """Read what happened since the run was last watched, or since its start."""
        self.view.in_thread(self._read_digest)

    def _read_digest(self) -> None:
        run, seen = self.session.run, self._seen
        try:
            digest, state = digest_run(run, seen)
        except EvolveError as exc:
            self.app.call_from_thread(self.say_error, exc)
            return
        whole = digest.since == state.started_at
        since = "since its start" if whole else f"since you left, {describe_span(now_ms() - digest.since)} ago"
        lines = [wrapped for line in describe_digest(digest, state.ranking.name) for wrapped in wrap(line, 78)]
        screen = ReadingScreen(f"{one_line(run.name, 40)}, {since}", text_lines("\n".join(lines)))
        self.app.call_from_thread(self.app.push_screen, screen)

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
        """Undo enlarging, focus or filter, or go back to the runs."""
        if not self.view.step_back():
            self.navigator.show_runs()
