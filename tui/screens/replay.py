"""Replay: a run as it was recorded, with a transport bar."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from tui.feed.replay import SPEEDS, ReplayFeed
from tui.model.event_index import StepKind
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt
from tui.screens.fork import FORK, ask_for_fork
from tui.screens.run_screens import RunScreens
from tui.screens.run_view import Pace, RunView
from tui.screens.steering import replay_actions
from tui.session import Session
from tui.widgets.bars import Footer
from tui.widgets.transport import TransportBar

__all__ = ["ReplayScreen"]

_PLACE_HINT = "an event (1234), a share (40%), a round (r12), start, end"
_NAMES: dict[StepKind, str] = {"event": "event", "round": "round", "best": "improvement", "act": "act of a person"}

# At 1000x everything changes all the time, and no eye follows that.
_PACE = Pace(tree=0.5, followed=1.0, status=0.5, plot=1.0, work=1.0)


class ReplayScreen(BaseScreen):
    """A run as it went.

    Args:
        session: the run; its feed is a replay.
        came_from_live: whether the user rewound a live run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "Play", id="replay.play", priority=True, tooltip="Play or stop"),
        Binding("plus,equals_sign", "faster(1)", "Faster", id="replay.faster", key_display="+", tooltip="Play faster"),
        Binding("minus", "faster(-1)", "Slower", id="replay.slower", key_display="-", tooltip="Play slower"),
        Binding(
            "full_stop", "move('event',1)", "Event", id="replay.event", key_display=".", tooltip="One event forward"
        ),
        Binding(
            "comma",
            "move('event',-1)",
            "Event back",
            id="replay.event_back",
            key_display=",",
            show=False,
            tooltip="One event back",
        ),
        Binding(
            "right_parenthesis",
            "move('round',1)",
            "Round",
            id="replay.round",
            key_display=")",
            tooltip="To the end of the next round",
        ),
        Binding(
            "left_parenthesis",
            "move('round',-1)",
            "Round back",
            id="replay.round_back",
            key_display="(",
            show=False,
            tooltip="To the end of the round before",
        ),
        Binding(
            "right_square_bracket",
            "move('best',1)",
            "Next best",
            id="replay.best",
            key_display="]",
            tooltip="To the next improvement",
        ),
        Binding(
            "left_square_bracket",
            "move('best',-1)",
            "Best before",
            id="replay.best_back",
            key_display="[",
            show=False,
            tooltip="To the improvement before",
        ),
        Binding(
            "right_curly_bracket",
            "move('act',1)",
            "Act",
            id="replay.act",
            key_display="}",
            tooltip="To the next act of a person",
        ),
        Binding(
            "left_curly_bracket",
            "move('act',-1)",
            "Act back",
            id="replay.act_back",
            key_display="{",
            show=False,
            tooltip="To the act of a person before",
        ),
        Binding("t", "seek", "Go to", id="replay.seek", tooltip="Go to an event, a share, a round"),
        Binding("T", "now", "Now", id="replay.now", tooltip="Back to the live run"),
        FORK,
        Binding(
            "escape",
            "back",
            "Runs",
            id="live.back",
            tooltip="Undo enlarging, focus or filter, or back to the screen before",
        ),
    ]

    title_ = "Replay"
    about = (
        "A run as it went, from its journal. The bar below the first line is its timeline from start to end:\n"
        "▲ improvements, ● acts of people, ‖ pauses, ■ starts and ends of engines. Long gaps are shortened.\n"
        "A replay cannot steer the run; F starts a new run from the event shown, T goes to the live run."
    )

    def __init__(self, session: Session, came_from_live: bool = False) -> None:
        super().__init__()
        assert isinstance(session.feed, ReplayFeed)
        self.session = session
        self._feed = session.feed
        self._came_from_live = came_from_live
        self.view = RunView(session, _PACE, TransportBar(session.feed, id="transport"))

    def compose_body(self) -> ComposeResult:
        """Compose the view of the run without keys that steer it."""
        with replay_actions(self.session, lambda: self.view.chosen), RunScreens(self.session):
            yield self.view

    def on_screen_resume(self) -> None:
        """Show changes that came behind another screen."""
        self.view.paint_all()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the layout, then the view, to the new size."""
        super().on_resize(event)
        self.view.fit()

    # Acting

    def action_play(self) -> None:
        """Play or stop; at the end start again."""
        feed = self._feed
        index = feed.index
        if index is None:
            return
        if not feed.playing and feed.position >= index.last:
            feed.seek(index.find("start"))
        feed.play(not feed.playing)
        self.view.paint_all()

    def action_faster(self, by: int) -> None:
        """Use the next higher or lower speed."""
        speed = self._feed.speed
        if by > 0:
            chosen = next((known for known in SPEEDS if known > speed), speed)
        else:
            chosen = next((known for known in reversed(SPEEDS) if known < speed), speed)
        self._feed.set_speed(chosen)
        self.view.paint_all()

    def action_move(self, kind: StepKind, by: int) -> None:
        """Go to the next place of a kind, and stop there."""
        feed, index = self._feed, self._feed.index
        if index is None:
            return
        feed.play(False)
        place = index.step(feed.aim, kind, by)
        if place is None:
            self.say(f"no {_NAMES[kind]} {'after' if by > 0 else 'before'} this", "best")
        else:
            self.query_one(Footer).hush()
            feed.seek(place)
        self.view.paint_all()

    def action_seek(self) -> None:
        """Ask for a place to go to."""
        self.app.push_screen(Prompt("Go to:", hint=_PLACE_HINT, check=self._find_place), self._seek)

    def _find_place(self, text: str) -> None:
        if text.strip() and self._feed.index is not None:
            self._feed.index.find(text)

    def _seek(self, text: str | None) -> None:
        index = self._feed.index
        if text and text.strip() and index is not None:
            try:
                self._feed.seek(index.find(text))
                self.query_one(Footer).hush()
            except EvolveError as exc:
                self.say_error(exc)

    def action_now(self) -> None:
        """Show the live run."""
        self.navigator.attach(self.session.run)

    def action_fork(self) -> None:
        """Fork the run at the event shown."""
        ask_for_fork(self, self.session)

    def action_back(self) -> None:
        """Undo enlarging, focus or filter, or go back to the screen that opened the replay."""
        if self.view.step_back():
            return
        if self._came_from_live:
            self.action_now()
        else:
            self.navigator.show_runs()
