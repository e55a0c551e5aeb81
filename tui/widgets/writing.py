"""The panel of answers that models are writing: the end of one, and the number of others."""

from __future__ import annotations

from collections.abc import Sequence

from tui.model.run_model import RunModel
from tui.model.streams import Stream, amount, rate
from tui.widgets.painted import Painted, Piece

__all__ = ["WritingPanel"]


class WritingPanel(Painted):
    """The answer that has been in progress for longest, until it is complete."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._stream: Stream | None = None
        self._others = 0
        self._title: tuple[Piece, ...] = ()
        self._lines: list[str] = []

    def on_resize(self) -> None:
        """Fit the answer to the new size."""
        if self._stream is not None:
            self._lines = self._stream.shown(max(1, self.size.height - 1))
        self.repaint_all()

    def show(self, model: RunModel, alive: bool) -> None:
        """Show the answers in progress; without an engine there are none."""
        streams = model.streams if alive else {}
        self._stream = streams[min(streams)] if streams else None
        self._others = max(0, len(streams) - 1)
        if self._stream is None:
            self._title, self._lines = ((" Writing ", "heading"), ("no model at this moment", "dim")), []
        else:
            self._title = tuple(title_of(self._stream, self._others))
            self._lines = self._stream.shown(max(1, self.size.height - 1))
        self.repaint()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the writer, then the text."""
        if y == 0:
            return self._title
        look = "dim" if self._stream is not None and self._stream.thinking else "plain"
        return [(f" {self._lines[y - 1]}", look)] if y <= len(self._lines) else []


def title_of(stream: Stream, others: int) -> list[Piece]:
    """Return the writer, the amount and the speed."""
    where = f"r{stream.round} " if stream.round is not None else ""
    doing = "thinks " if stream.thinking else ""
    return [
        (" Writing ", "heading"), (f"{where}{stream.role} {doing}", "accent"),
        (f"1 of {others + 1} " if others else "", "plain"),
        (f"{amount(stream)} {rate(stream)}  {stream.model}", "dim"),
    ]  # fmt: skip
