"""The list of priors, or of the hits of a search with their reasons."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.binding import Binding, BindingType
from textual.message import Message

from engine.text import one_line
from tui.model.labels import fit
from tui.model.prior_documents import moment
from tui.model.prior_list import PriorRow
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from cognition.retrieve import Hit

__all__ = ["Found", "PriorsView", "columns", "why_of"]

_SIGNS = {"on": "●", "off": "○", "gone": "✗", "pending": "?", "rejected": "x", "removed": "x"}
_LOOKS = {"on": "ok", "off": "dim", "gone": "bad", "pending": "best", "rejected": "dim", "removed": "dim"}
_TITLE = 60
"""The most cells of a title."""
_WIDE = 100
"""Columns from which tags and the day of last use are shown too."""


class Found(NamedTuple):
    """A row of the list."""

    row: PriorRow
    hit: Hit | None = None
    """The hit of the search; None without a search."""


def why_of(hit: Hit) -> str:
    """Return why a prior was found; the title above the list says that only words counted."""
    return hit.why.removesuffix(", by words only")


def _title_width(width: int) -> int:
    # What a wide list has to spare goes to the tags.
    return max(8, min(_TITLE, width - 47 - (34 if width >= _WIDE else 0)))


def columns(width: int, searched: bool) -> str:
    """Return the names of the columns."""
    title = _title_width(width)
    if searched:
        return f"    {'title':<{title}} score  why"
    shown = f"    {'title':<{title}}{'weight':>7}{'shown':>7}{'used':>6}{'gain':>11}  state"
    return shown + (f"    {'last shown':<12}tags" if width >= _WIDE else "")


class PriorsView(RowsView):
    """Priors, one per row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Edit", id="priors.edit", tooltip="Edit its text here"),
        Binding("space", "switch", "On/off", id="priors.toggle", tooltip="Show it to designs, or stop showing it"),
    ]

    class Chosen(Message):
        """The user wants to edit a prior, or to turn it on or off."""

        def __init__(self, row: PriorRow, toggled: bool) -> None:
            super().__init__()
            self.row = row
            self.toggled = toggled

    def __init__(self) -> None:
        super().__init__(id="priors")
        self.found: list[Found] = []
        self.drafts: Container[str] = ()
        """Ids of the priors with an unsaved text."""
        self.empty = " reading the priors…"

    @property
    def selected(self) -> PriorRow | None:
        """The prior under the cursor."""
        return self.found[self.cursor].row if self.cursor < len(self.found) else None

    def show(self, found: list[Found], empty: str, held: str | None) -> None:
        """Show new rows.

        Args:
            found: the rows.
            empty: the text to show if there are no rows.
            held: the id of the prior to put the cursor on; without it the cursor keeps its row.
        """
        self.found, self.empty = found, empty
        ids = [item.row.entry.id for item in found]
        self.cursor = ids.index(held) if held in ids else min(self.cursor, max(0, len(found) - 1))
        self.show_cursor()
        self.repaint()

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.found)

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return state, title, then figures, or the reason why it was found."""
        (entry, use, problem), hit = self.found[index].row, self.found[index].hit
        prior, state = entry.prior, self.found[index].row.state
        width = _title_width(self.size.width)
        draft = "*" if entry.id in self.drafts else " "
        title = fit(one_line(prior.title, 200), width - 1)
        sign = (f" !{draft} ", "bad") if problem else (f" {_SIGNS[state]}{draft} ", _LOOKS[state])
        pieces: list[Piece] = [sign, (f"{title} ", "plain")]
        if hit is not None:
            return [*pieces, (f"{hit.score:5.3f}", "accent"), (f"  {one_line(why_of(hit), 200)}", "dim")]
        gain = "–" if use.gain is None else f"{use.gain:+.4g}"
        pieces.append((f"{prior.weight:>7.4g}{use.shown:>7,}{use.given:>6,}{gain:>11}  ", "plain"))
        pieces.append((f"{state:<9}", _LOOKS[state]))
        if self.size.width >= _WIDE:
            day = moment(use.last)[5:] if use.last else "–"
            pieces.append((f"{day:<12}{one_line(', '.join(prior.tags), 60)}", "dim"))
        return pieces

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the switch only for a prior that is on or off, and editing only if it is not removed."""
        state = self.selected.state if self.selected is not None else ""
        if action == "switch":
            return state in ("on", "off")
        return state not in ("", "removed") if action == "open" else True

    def action_open(self) -> None:
        """Ask to edit the prior."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected, False))

    def action_switch(self) -> None:
        """Ask to turn the prior on or off."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected, True))
