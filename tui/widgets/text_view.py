"""A document to read: code, a diff, a log. The document's text was made harmless when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.model.document import Line
from tui.widgets.painted import Painted, Piece

__all__ = ["TextView"]


class TextView(Painted, can_focus=True):
    """Lines in a viewport that scrolls down and shifts to the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll(1)", "Down", id="text.down", show=False, tooltip="A line down"),
        Binding("up,k", "scroll(-1)", "Up", id="text.up", show=False, tooltip="A line up"),
        Binding("pagedown,ctrl+d,space", "page(1)", "Page", id="text.page_down", show=False, tooltip="A page down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", id="text.page_up", show=False, tooltip="A page up"),
        Binding("home,g", "to(0)", "Start", id="text.first", show=False, tooltip="The first line"),
        Binding("end,G", "to(-1)", "End", id="text.last", show=False, tooltip="The last line"),
        Binding("right", "shift(16)", "Right", id="text.right", show=False, tooltip="See more of long lines"),
        Binding("left", "shift(-16)", "Left", id="text.left", show=False, tooltip="Back to the start of the lines"),
    ]

    class Moved(Message):
        """Other lines are visible, or there are more or fewer of them."""

        def can_replace(self, message: Message) -> bool:
            """Return whether an older message is outdated: only the last place matters."""
            return isinstance(message, TextView.Moved) and message._sender is self._sender

    shows_cut = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines: list[Line] = []
        self.top = 0
        self._told = ""

    def repaint(self) -> None:
        """Take the current rows, and tell if they are others of the document."""
        super().repaint()
        if self.position != self._told:
            self._told = self.position
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Show as many lines as fit now."""
        self.repaint()

    def show(self, lines: list[Line], keep_place: bool = False, follow: bool = False) -> None:
        """Show another document.

        Args:
            lines: the document.
            keep_place: show it from where the last one stood on; else from its start.
            follow: it grows: show its end, and go on to do so unless the user scrolls up.
        """
        height = max(1, self.size.height)
        follows = follow and (not keep_place or self.top + height >= len(self.lines))
        self.lines = lines
        if not keep_place:
            self.top = self.shift = 0
        if follows and self.top + height < len(lines):
            # Half a page stays free: each line that moves is written again.
            self.top = len(lines) - height // 2
        self.top = max(0, min(self.top, len(lines) - 1))
        self.repaint()

    def go_to(self, line: int) -> None:
        """Show the document from a line on."""
        self.top = max(0, min(line, len(self.lines) - 1))
        self.repaint()

    @property
    def position(self) -> str:
        """The range of visible lines."""
        if not self.lines:
            return ""
        return f"{self.top + 1}–{min(len(self.lines), self.top + self.size.height)}/{len(self.lines)}"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the spans of a line."""
        index = self.top + y
        return self.lines[index] if index < len(self.lines) else []

    def find(self, text: str, backwards: bool = False) -> bool:
        """Go to the next line with the text, wrapping at the end; return False if there is none."""
        wanted = text.casefold()
        count = len(self.lines)
        step = -1 if backwards else 1
        for offset in range(1, count + 1):
            index = (self.top + step * offset) % count
            if wanted in "".join(span.text for span in self.lines[index]).casefold():
                self.top = index
                self.repaint()
                return True
        return False

    def on_mouse_scroll_down(self) -> None:
        """Scroll a few lines down."""
        self.action_scroll(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll a few lines up."""
        self.action_scroll(-3)

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.top = max(0, min(self.top + lines, len(self.lines) - self.size.height))
        self.repaint()

    def action_page(self, pages: int) -> None:
        """Scroll by a page less one line."""
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_to(self, line: int) -> None:
        """Go to the start, or to the end."""
        self.action_scroll(-len(self.lines) if line == 0 else len(self.lines))

    def action_shift(self, cells: int) -> None:
        """Shift to the right or back."""
        self.shift = max(0, self.shift + cells)
        self.repaint()
