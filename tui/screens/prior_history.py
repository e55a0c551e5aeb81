"""History: the revisions of a prior, their changes, and the way back to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from cognition.entry import Entry, Revision
from engine.text import one_line
from tui.feed.priors import PriorDesk
from tui.model.prior_documents import moment, revision_lines
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Confirm
from tui.widgets.bars import Title
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from cognition.collection import Collection

__all__ = ["PriorHistory"]


class RevisionsView(RowsView):
    """The revisions, newest first."""

    empty = " reading…"

    def __init__(self) -> None:
        super().__init__(id="revisions")
        self.revisions: list[Revision] = []

    @property
    def selected(self) -> Revision | None:
        """The revision under the cursor."""
        return self.revisions[self.cursor] if self.cursor < len(self.revisions) else None

    def count(self) -> int:
        """Return the number of revisions."""
        return len(self.revisions)

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return number, time, author, size and message."""
        item = self.revisions[index]
        return [
            (f" {item.number:>5}  ", "accent" if index == 0 else "plain"),
            (f"{moment(item.at)}  {item.author:<9}{len(item.text.encode()):>8,} B  ", "dim"),
            (one_line(item.message, 200), "plain"),
        ]


class PriorHistory(BaseScreen):
    """The revisions of a prior.

    Args:
        desk: reads the revisions.
        entry: the prior.
        do: run a function on the collection and show its result.
    """

    DEFAULT_CSS = """
    PriorHistory #revisions { height: 1fr; }
    PriorHistory #text { height: 2fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "revert", "Revert", id="history.revert", tooltip="Make its text the newest revision"),
        Binding("d", "base", "Diff to", id="history.base", tooltip="Against the revision before, or the newest"),
        Binding("right", "shift(16)", "Right", id="history.right", show=False, tooltip="See more of long lines"),
        Binding("left", "shift(-16)", "Left", id="history.left", show=False, tooltip="Back to the start of the lines"),
        Binding("J", "scroll(1)", "Scroll", id="history.down", tooltip="The differences a page down"),
        Binding("K", "scroll(-1)", "Scroll", id="history.up", show=False, tooltip="The differences a page up"),
        Binding("escape", "back", "Back", id="history.back", tooltip="Back to the priors"),
    ]

    title_ = "History"
    about = "Every text that the prior ever had, newest first. Going back to one adds a revision and destroys none."

    def __init__(self, desk: PriorDesk, entry: Entry, do: Callable[[Callable[[Collection], Entry], str], None]) -> None:
        super().__init__()
        self._desk = desk
        self._entry = entry
        self._do = do
        self._to_newest = False
        self._list = RevisionsView()
        self._tabs = Title(id="tabs")
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title, revisions, the changes of the one under the cursor."""
        yield Title(f" History of {one_line(self._entry.id, 80)}", id="head")
        yield self._list
        yield self._tabs
        yield self._text

    def on_mount(self) -> None:
        """Read the revisions."""
        self._text.can_focus = False
        self._list.focus()
        prior_id = self._entry.id
        self._desk.do(lambda collection: collection.history(prior_id), self._read, self._refused)

    def on_resize(self, event: events.Resize) -> None:
        """Fit to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._show)

    def _read(self, revisions: list[Revision]) -> None:
        if self.is_attached:
            self._list.revisions = revisions[::-1]
            self._list.repaint()
            self._show()
            self.refresh_bindings()

    def _refused(self, error: Exception) -> None:
        if self.is_attached:
            self.say(str(error), "bad", 10.0)

    def _show(self) -> None:
        chosen = self._list.selected
        if chosen is None:
            return
        newest = self._list.revisions[0].number
        base = newest if self._to_newest else None
        against = f"revision {newest}, the newest" if self._to_newest else "the revision before"
        self._tabs.show((f" Revision {chosen.number}", "heading"), (f" against {against}", "dim"))
        self._text.show(revision_lines(self._list.revisions, chosen.number, base))

    def on_rows_view_moved(self, event: RevisionsView.Moved) -> None:
        """Show the changes of the revision."""
        self._show()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer revert only for an older revision of a prior that is not removed."""
        return action != "revert" or (self._list.cursor > 0 and self._entry.status != "removed")

    def action_scroll(self, pages: int) -> None:
        """Scroll the differences by pages."""
        self._text.action_page(pages)

    def action_shift(self, cells: int) -> None:
        """Shift the differences to the right, or back."""
        self._text.action_shift(cells)

    def action_base(self) -> None:
        """Compare with the other base: the revision before, or the newest."""
        self._to_newest = not self._to_newest
        self._show()

    def action_revert(self) -> None:
        """Ask, then make its text the newest."""
        chosen = self._list.selected
        if chosen is None:
            return
        prior_id, number, newest = self._entry.id, chosen.number, self._list.revisions[0].number

        def revert(yes: bool | None) -> None:
            if yes:
                self.app.pop_screen()
                self._do(
                    lambda collection: collection.revert(prior_id, number, newest), f"as it was in revision {number}"
                )

        self.app.push_screen(Confirm(f"Make revision {number} of '{prior_id}' the newest?"), revert)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
