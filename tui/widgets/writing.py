"""The panel of answers that models are writing: the end of one, or how long its prompt is being read already."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tui.model.run_model import RunModel
from tui.model.streams import Stream, amount, no_stream, open_streams, rate, reading, waits
from tui.widgets.painted import Piece
from tui.widgets.panel import Panel

__all__ = ["WritingPanel"]


class WritingPanel(Panel):
    """The answer that has been in progress for longest, until it is complete."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._stream: Stream | None = None
        self._others = 0
        self._title: tuple[Piece, ...] = ()
        self._lines: list[str] = []

    def on_resize(self) -> None:
        """Fit the answer to the new size."""
        if self._stream is not None and self._stream.chars:
            self._lines = self._stream.shown(max(1, self.size.height - 1))
        self.repaint_all()

    def show(self, model: RunModel, alive: bool, now: int | None) -> None:
        """Show the answers in progress; without an engine there are none.

        Args:
            model: the run.
            alive: whether an engine is at work.
            now: the time to measure durations against; None leaves durations out.
        """
        streams = open_streams(model.state.calls, model.streams) if alive else {}
        # One that is written says more than one whose prompt is read.
        first = min(streams, key=lambda call: (not streams[call].chars, call), default=None)
        self._stream = streams[first] if first is not None else None
        self._others = max(0, len(streams) - 1)
        if self._stream is None:
            said, told = no_stream(model.state, alive)
            self._title = ((" Writing ", "heading"), (said, "dim"))
            self._lines = textwrap.wrap(model.filled(told), max(20, self.size.width - 2))
        else:
            self._title = tuple(title_of(self._stream, self._others, now))
            self._lines = self._stream.shown(max(1, self.size.height - 1))
            if not self._stream.chars:
                told = reading(model.state.calls[self._stream.call], self._stream, now)
                self._lines = textwrap.wrap(told, max(20, self.size.width - 2))
        self.repaint()

    @property
    def reads(self) -> bool:
        """Whether the answer has not begun, so that only the seconds change."""
        return self._stream is not None and not self._stream.chars

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the writer, then the text."""
        if y == 0:
            return self._title
        look = "dim" if self._stream is not None and self._stream.thinking else "plain"
        return [(f" {self._lines[y - 1]}", look)] if y <= len(self._lines) else []


def title_of(stream: Stream, others: int, now: int | None) -> list[Piece]:
    """Return the writer, the amount and the speed, or what it does at this time before it writes."""
    before = "waits" if waits(stream, now) else "works" if stream.command else "reads"
    where = f"r{stream.round} " if stream.round is not None else ""
    doing = "thinks " if stream.thinking else ""
    return [
        (" Writing ", "heading"), (f"{where}{stream.role} {doing}", "accent"),
        (f"1 of {others + 1} " if others else "", "plain"),
        (f"{f'{amount(stream)} {rate(stream)}' if stream.chars else before}  {stream.model}", "dim"),
    ]  # fmt: skip
