"""Writing: a design, or another answer, while a model writes it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.journal.events import CallStarted
from tui.model.document import Line, prose_lines
from tui.model.streams import Stream, no_stream, open_streams, reading, waits
from tui.screens.base import BaseScreen
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Throttle
from tui.widgets.text_view import TextView
from tui.widgets.writing import title_of

__all__ = ["WritingScreen"]


class WritingScreen(BaseScreen):
    """The end of one answer while it is being written; then the next one.

    Args:
        session: the run.
    """

    DEFAULT_CSS = "WritingScreen #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "turn", "Next", id="writing.next", tooltip="What another model writes"),
        Binding("f", "follow", "Follow", id="writing.follow", tooltip="Stay at the end, or where you read"),
        Binding("enter,c", "calls", "Calls", id="writing.calls", tooltip="All calls of the run, of any round"),
        Binding("escape", "back", "Back", id="writing.back", tooltip="Back to the population"),
    ]

    title_ = "Writing"
    about = (
        "What models write at this moment, what they think before it, and how long a prompt is being read.\n"
        "Tokens are counted by pieces until an answer is whole. Enter lists all calls of the run, of any round."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._call: int | None = None
        self._last: Stream | None = None
        self._following = True
        self._reads = False
        self._head = Title(id="head")
        self._text = TextView(id="text")
        self._draw = Throttle(self, 1.0, self._paint)

    def compose_body(self) -> ComposeResult:
        """Compose the writer, then the text."""
        yield self._head
        yield self._text

    def on_mount(self) -> None:
        """Subscribe to the session."""
        self._text.focus()
        self.session.subscribe(self._changed)
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._paint)

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self.session.unsubscribe(self._changed)

    def _changed(self, change: ModelChange) -> None:
        if self.is_current and ("writing" in change.parts or "rounds" in change.parts):
            self._draw()

    def _tick(self) -> None:
        """Count the seconds of a prompt that is being read; all else changes by itself."""
        if self.is_current and self.session.is_moving and self._reads:
            self._draw()

    @property
    def _streams(self) -> dict[int, Stream]:
        model = self.session.model
        return open_streams(model.state.calls, model.streams) if model is not None and self.session.alive else {}

    @property
    def _now(self) -> int | None:
        return self.session.feed.now_ms() if self.session.is_moving else None

    def _paint(self) -> None:
        streams = self._streams
        if self._call not in streams and streams:
            self._call = min(streams, key=lambda call: (not streams[call].chars, call))
        stream = streams.get(self._call) if self._call is not None else None
        model = self.session.model
        idle, waited = no_stream(model.state, self.session.alive) if model is not None else ("", "")
        waited = model.filled(waited) if model is not None else waited
        if stream is not None:
            self._last = stream
            self._head.show(*title_of(stream, len(streams) - 1, self._now))
        elif self._last is not None and not waited:
            self._head.show((" Writing ", "heading"), (f"call {self._last.call} is over", "dim"))
        else:
            self._head.show((" Writing ", "heading"), (idle, "dim"))
        shown = stream or self._last
        room = max(20, self.size.width - 2)
        self._reads = stream is not None and not stream.chars
        if stream is None and waited:
            again = "They are asked again by themselves, a minute later at most; resume asks them at once."
            self._text.show([*prose_lines(waited, room), *prose_lines(again, room, "dim")])
            return
        if shown is None:
            said = "The answer of a model appears here while it is written. Enter lists all calls of the run."
            self._text.show(prose_lines(said, room, "dim"))
            return
        if stream is not None and not stream.chars:
            self._text.show(self._reading_lines(stream, room))
            return
        lines = prose_lines(shown.text, room, "dim" if shown.thinking else "plain")
        if self._following:
            # Turn by half a page, so that a new line costs only its own row.
            height = max(2, self._text.size.height)
            half = height // 2
            self._text.top = max(0, -(-(len(lines) - height) // half) * half)
        self._text.show(lines, keep_place=True)
        self.refresh_bindings()

    def _reading_lines(self, stream: Stream, room: int) -> list[Line]:
        model = self.session.model
        assert model is not None
        event = model.state.calls[stream.call]
        lines = prose_lines(reading(event, stream, self._now), room)
        if isinstance(event.data, CallStarted) and event.data.cap and not waits(stream, self._now):
            told = f"the answer may have {event.data.cap:,} tokens (models.{event.data.model}.cap_tokens)"
            lines += prose_lines(told, room, "dim")
        return lines

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the turn only if several answers are being written."""
        return len(self._streams) > 1 if action == "turn" else True

    def action_turn(self) -> None:
        """Show the next answer."""
        calls = sorted(self._streams)
        if calls:
            place = calls.index(self._call) + 1 if self._call in calls else 0
            self._call = calls[place % len(calls)]
            self._paint()

    def action_follow(self) -> None:
        """Follow the end of the answer, or stop following."""
        self._following = not self._following
        self.say("follows the end" if self._following else "stays where you read", "accent")
        self._paint()

    def action_calls(self) -> None:
        """List all calls of the run."""
        self.navigator.show_screen("calls")

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
