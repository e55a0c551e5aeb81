"""A list of any length in a fixed viewport, with its own offset, no scrollbar, no virtual size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.widgets.painted import Painted, Piece

__all__ = ["RowsView"]


class RowsView(Painted, can_focus=True):
    """Rows with a cursor. Moving past an edge turns half a page, since each row that moves is written again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", id="rows.down", show=False, tooltip="Next row"),
        Binding("up,k", "move(-1)", "Up", id="rows.up", show=False, tooltip="Row before"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", id="rows.page_down", show=False, tooltip="A page down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", id="rows.page_up", show=False, tooltip="A page up"),
        Binding("home,g", "first", "First", id="rows.first", show=False, tooltip="First row"),
        Binding("end,G", "last", "Last", id="rows.last", show=False, tooltip="Last row"),
    ]

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, view: RowsView) -> None:
            super().__init__()
            self.view = view

        def can_replace(self, message: Message) -> bool:
            """Return whether an older message is outdated: only the newest row matters."""
            return isinstance(message, RowsView.Moved) and message.view is self.view

        @property
        def control(self) -> RowsView:
            """The list itself."""
            return self.view

    head_rows: ClassVar[int] = 0
    """Screen rows above the list: its title."""
    item_rows: ClassVar[int] = 1
    """Screen rows of each row of the list."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.top = 0
        self.cursor = 0

    @property
    def room(self) -> int:
        """How many rows of the list fit, at least one."""
        return max(1, (self.size.height - self.head_rows) // self.item_rows)

    def index_at(self, y: int) -> int | None:
        """Return the row of the list that a screen row belongs to; None above the first and below the last one."""
        index = self.top + (y - self.head_rows) // self.item_rows
        return index if y >= self.head_rows and index < self.count() else None

    # To be defined by a list

    def count(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return one row."""
        raise NotImplementedError

    empty = ""
    """The text to show if there are no rows."""

    # Painting

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the row, or nothing below the last one."""
        index = self.index_at(y)
        if index is not None:
            return self.item_pieces(index)
        return [(self.empty, "dim")] if y == self.head_rows and not self.count() else []

    def row_ground(self, y: int) -> str:
        """Return the look of the cursor's row, which depends on the focus, or of any other row."""
        if self.index_at(y) == self.cursor:
            return "cursor" if self.has_focus else "bar"
        return "plain"

    def on_resize(self) -> None:
        """Keep the cursor in view, unless the list is hidden: that moves no row."""
        if self.size.height:
            self.show_cursor()
        super().on_resize()

    def on_focus(self) -> None:
        """Show the cursor."""
        self.repaint()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.repaint()

    # Moving

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked row; a second click opens it."""
        index = self.index_at(event.y)
        if index is not None:
            self.go(index)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self) -> None:
        """Move a few rows down."""
        self.action_move(3)

    def on_mouse_scroll_up(self) -> None:
        """Move a few rows up."""
        self.action_move(-3)

    def action_open(self) -> None:
        """Open the row under the cursor, if the list defines it."""

    def go(self, index: int) -> None:
        """Put the cursor on a row and bring it into view."""
        index = max(0, min(self.count() - 1, index))
        moved = index != self.cursor
        self.cursor = index
        self.show_cursor()
        self.repaint()
        if moved:
            self.post_message(self.Moved(self))

    def show_cursor(self) -> None:
        """Scroll until the cursor is in view."""
        if self.cursor < self.top or self.cursor >= self.top + self.room:
            self.top = self.cursor - self.room // 2
        self.top = max(0, min(self.top, self.count() - self.room))

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self.go(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by a page less one row."""
        step = max(1, self.room - 1) * pages
        self.top = max(0, min(self.top + step, self.count() - self.room))
        self.go(self.cursor + step)

    def action_first(self) -> None:
        """Go to the first row."""
        self.go(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self.go(self.count() - 1)
