"""The base of all widgets here: rows drawn by looks, repainted only where they changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from tui.glyphs import PLAIN
from tui.theme import look_style

__all__ = ["Painted", "Piece", "Throttle"]

Piece = tuple[str, str]
"""A text and its look. The text must be harmless: nothing here interprets or escapes it."""

_Look = tuple[str, int, tuple[Piece, ...]]
"""Ground, shift and pieces of a row: everything that it is drawn from except styles."""


class Painted(Widget):
    """A widget of rows; `repaint` takes the current rows and refreshes what differs from the rows taken last.

    It paints only rows that were taken, never their sources: a frame comes later, when the run may have gone on, and a
    cell that changed meanwhile would never be drawn, or count as drawn although it was outside of the region that the
    frame wrote.

    The compositor writes refreshed regions whether or not they changed, and always from the widget's left edge. So this
    class keeps a slow line usable if what changes often stands far to the left.
    """

    shows_cut = True
    """Whether a cut row ends in a sign; off for texts that the user can shift."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.shift = 0
        """Cells to skip at the start of each row."""
        self._taken: list[Strip] = []
        """The strip of each row that the terminal shows once all refreshed regions are painted."""
        self._taken_from: list[_Look | None] = []
        """The source of each strip; None if the strip must be made anew."""
        self._taken_for = Size(0, 0)
        self._styles: dict[tuple[str, str], Style] = {}

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return screen row `y` as pieces; use at most three looks if it changes often."""
        raise NotImplementedError

    def row_ground(self, y: int) -> str:
        """Return the look that gives a row its background."""
        return "plain"

    def repaint(self) -> None:
        """Take the current rows; refresh the parts that changed."""
        if self._taken_for != self.size:
            self.repaint_all()
            return
        changed = [Region(0, y, end, 1) for y in range(len(self._taken)) if (end := self._take_row(y))]
        if changed:
            self.refresh(*changed)

    def repaint_all(self) -> None:
        """Take the current rows and refresh them all."""
        self._take_all()
        self.refresh()

    def _take_all(self) -> None:
        size = self._taken_for = self.size
        looks = [self._look(y) for y in range(size.height)]
        self._taken_from = [*looks]
        self._taken = [self._strip(look, size.width) for look in looks]

    def _take_row(self, y: int) -> int:
        """Take one current row; return up to which cell it changed, 0 if it did not."""
        look = self._look(y)
        if look == self._taken_from[y]:
            return 0
        before, after = self._taken[y], self._strip(look, self._taken_for.width)
        self._taken[y], self._taken_from[y] = after, look
        return _changed_to(before, after)

    def on_resize(self) -> None:
        """Repaint for the new size."""
        self.repaint_all()

    def notify_style_update(self) -> None:
        """Forget the styles of the old theme."""
        super().notify_style_update()
        self._styles.clear()
        self._taken_from = [None] * len(self._taken)
        self.repaint()

    def style_of(self, look: str, ground: str = "plain") -> Style:
        """Return the style of a look on the background of another."""
        style = self._styles.get((look, ground))
        if style is None:
            style = look_style(self.app.theme_variables, look)
            if ground not in ("plain", look):
                base = look_style(self.app.theme_variables, ground)
                # On the cursor's row all text has the cursor's colour: two hues on a third are hard to read.
                style = base if ground == "cursor" else style + Style(bgcolor=base.bgcolor)
            self._styles[(look, ground)] = style
        return style

    def strip_of(self, pieces: Sequence[Piece], ground: str = "plain") -> Strip:
        """Return pieces as a strip with styles, in signs that the terminal can show."""
        if getattr(self.app, "plain", False):
            pieces = [(text.translate(PLAIN), look) for text, look in pieces]
        return Strip([Segment(text, self.style_of(look, ground)) for text, look in pieces if text])

    def render_line(self, y: int) -> Strip:
        """Return one row for the terminal."""
        if self._taken_for != self.size:
            # A frame at a new size paints everything, and may come before the widget learns of the size.
            self._take_all()
        return self._taken[y]

    def row_strip(self, y: int) -> Strip:
        """Return one current row, cut or padded to the width."""
        return self._strip(self._look(y), self.size.width)

    def _look(self, y: int) -> _Look:
        return self.row_ground(y), self.shift, tuple(self.row_pieces(y))

    def _strip(self, look: _Look, width: int) -> Strip:
        ground, shift, pieces = look
        strip = self.strip_of(pieces, ground)
        if shift:
            strip = strip.crop(shift)
        elif self.shows_cut and strip.cell_length > width > 1:
            sign = self.strip_of([("…", "plain" if ground == "plain" else ground)], ground)
            strip = Strip.join([strip.crop(0, width - 1), sign])
        return strip.adjust_cell_length(width, self.style_of(ground))


def _changed_to(before: Strip, after: Strip) -> int:
    """Return up to which cell a row must be drawn again; 0 if it is unchanged."""
    if before == after:
        return 0
    width = after.cell_length
    old, new = _cells(before), _cells(after)
    if not len(old) == len(new) == width:
        return width
    return next((x for x in range(width, 0, -1) if old[x - 1] != new[x - 1]), 0)


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """Return a row's cells, each a sign with its style; nothing if a sign is not one cell wide."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in strip:
        if not text.isascii() and any(cell_len(sign) != 1 for sign in text):
            return []
        cells.extend((sign, style) for sign in text)
    return cells


class Throttle:
    """Calls a function at once, but at most once per period; a call that comes too soon is delayed.

    Args:
        owner: the widget whose timer is used.
        seconds: the least time between two calls.
        function: what to call.
    """

    def __init__(self, owner: Widget, seconds: float, function: Callable[[], None]) -> None:
        self._owner = owner
        self._seconds = seconds
        self._function = function
        self._last = 0.0
        self._timer: Timer | None = None

    def __call__(self) -> None:
        """Ask for a call."""
        if self._timer is not None:
            return
        wait = self._last + self._seconds - time.monotonic()
        if wait <= 0:
            self._fire()
        else:
            self._timer = self._owner.set_timer(wait, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._last = time.monotonic()
        self._function()
