"""Calls: every call of a run's models, also of rounds that made no node, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import EvolveError
from engine.journal.events import CallDone, CallRetried, CallStarted, DesignRejected
from engine.journal.reader import JournalReader
from engine.runs.calls import CallEntry, calls_of_run, share_cached
from engine.text import one_line
from tui.model.call_documents import one_call_lines
from tui.model.document import Line
from tui.model.labels import clock
from tui.screens.base import BaseScreen
from tui.screens.reading import ReadingScreen
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Piece, Throttle
from tui.widgets.rows import RowsView

__all__ = ["CallsScreen"]

_CONCERNS = (CallStarted, CallRetried, CallDone, DesignRejected)


class CallRows(RowsView):
    """Calls, newest first."""

    empty = " reading…"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="calls.open", tooltip="Its prompt, answer and thoughts"),
    ]

    class Opened(Message):
        """The call under the cursor is to be shown."""

    def __init__(self) -> None:
        super().__init__(id="calls")
        self.calls: list[CallEntry] = []

    @property
    def selected(self) -> CallEntry | None:
        """The call under the cursor."""
        return self.calls[self.cursor] if self.cursor < len(self.calls) else None

    def count(self) -> int:
        """Return the number of calls."""
        return len(self.calls)

    def show(self, calls: list[CallEntry]) -> None:
        """Show other calls; the cursor stays on its call."""
        chosen, newest = self.selected, self.cursor == 0
        self.calls = calls
        self.empty = " no model was asked"
        if chosen is not None and not newest:
            numbers = [call.started.call for call in calls]
            if chosen.started.call in numbers:
                self.cursor = numbers.index(chosen.started.call)
        self.cursor = max(0, min(self.cursor, len(calls) - 1))
        self.show_cursor()
        self.repaint()

    def action_open(self) -> None:
        """Open the call under the cursor."""
        self.post_message(self.Opened())

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return number, round, role, tokens, seconds and outcome; the reason comes last, since a narrow row is cut."""
        call = self.calls[index]
        end = call.done
        where = f"r{call.round} " if call.round is not None else ""
        where += f"#{call.node}" if call.node is not None else ""
        spent = ""
        if end is not None:
            about = "~" if end.estimated else ""
            cached = share_cached(end.tokens_in, end.tokens_cached) if end.tokens_cached else ""
            known = end.tokens_in or end.tokens_out or end.priced or not call.started.command
            # A command that left no usage.json may have cost anything.
            spent = (f"{about}{end.tokens_in:,}+{end.tokens_out:,}" if known else "?").rjust(14)
            spent += (f" {cached:>4}" if self.size.width >= 100 else "") + f"{end.seconds:6.0f} s"
        look = "bad" if call.reason or (end is not None and end.ended_by) else "plain" if end is not None else "accent"
        told = f"{call.outcome}: {one_line(call.reason, 300)}" if call.reason else call.outcome
        return [
            (f" {clock(call.at)} {call.started.call:>4} {where:<8} ", "dim"),
            (f"{one_line(call.started.role, 10):<10} ", "plain"), (f"{spent}  ", "dim"), (told, look),
        ]  # fmt: skip


class CallsScreen(BaseScreen):
    """All calls of a run up to the moment that its session shows.

    Args:
        session: the run.
    """

    DEFAULT_CSS = "CallsScreen #calls { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="calls.back", tooltip="Back to the screen before"),
    ]

    title_ = "Calls"
    about = (
        "Every call of a model, newest first: when, number, round, node, role, tokens in and out, the share of the "
        "prompt that the endpoint had cached, seconds, and what came of it. A round without a node has its calls here "
        "as well."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._head = Title(" Calls", id="head")
        self._rows = CallRows()
        self._draw = Throttle(self, 1.0, self._load)
        self._asked = 0
        self._shown = 0
        """Which reading is shown: two may go on at once, and the later one may end first."""

    def compose_body(self) -> ComposeResult:
        """Compose the title and the calls."""
        yield self._head
        yield self._rows

    def on_mount(self) -> None:
        """Read the calls."""
        self._rows.focus()
        self.session.subscribe(self._changed)
        self._load()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self.session.unsubscribe(self._changed)

    def on_screen_resume(self) -> None:
        """Show what came behind another screen."""
        self._load()

    def _changed(self, change: ModelChange) -> None:
        if self.is_current and (change.reset or any(isinstance(event.data, _CONCERNS) for event in change.events)):
            self._draw()

    def _load(self) -> None:
        if self.session.model is not None:
            self._asked += 1
            asked, seq = self._asked, self.session.model.state.seq
            self.run_worker(lambda: self._read(asked, seq), thread=True, group="calls", exit_on_error=False)

    def _read(self, asked: int, seq: int) -> None:
        try:
            with JournalReader(self.session.run.db) as reader:
                calls = calls_of_run(reader, seq)
        except EvolveError as exc:
            self.app.call_from_thread(self.say_error, exc)
        else:
            self.app.call_from_thread(self._take, asked, calls[::-1])

    def _take(self, asked: int, calls: list[CallEntry]) -> None:
        if asked < self._shown:
            return
        self._shown = asked
        self._rows.show(calls)
        useless = sum(bool(call.reason) for call in calls)
        told = f"{len(calls):,}, newest first" + (f"; {useless:,} came to nothing" if useless else "")
        self._head.show((" Calls ", "heading"), (told, "dim"))

    def on_call_rows_opened(self) -> None:
        """Read the call under the cursor and show it."""
        call = self._rows.selected
        if call is not None:
            width = self.size.width
            self.run_worker(lambda: self._read_one(call, width), thread=True, group="calls", exit_on_error=False)

    def _read_one(self, call: CallEntry, width: int) -> None:
        try:
            with JournalReader(self.session.run.db) as reader:
                lines = one_call_lines(reader, call, width - 2)
        except EvolveError as exc:
            self.app.call_from_thread(self.say_error, exc)
        else:
            self.app.call_from_thread(self._show_one, call, lines)

    def _show_one(self, call: CallEntry, lines: list[Line]) -> None:
        where = f", round {call.round}" if call.round is not None else ""
        self.app.push_screen(ReadingScreen(f"Call {call.started.call}{where}", lines))

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
