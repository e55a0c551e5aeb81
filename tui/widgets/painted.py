"""What every widget here has in common: rows drawn by look, and repainted only where they changed."""

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
"""A text and its look. The text is harmless already: nothing here interprets it."""

_Look = tuple[str, int, tuple[Piece, ...]]
"""Ground, shift and pieces of a row: all that it is drawn from but the styles."""


class Painted(Widget):
    """A widget of rows; `repaint` takes them as they are now and refreshes what differs from the rows taken last.

    Only rows that were taken are painted, never what they are made from: a frame comes later, when a run may have gone
    on, and a cell that changed meanwhile would be drawn by nobody, or be held for drawn though it was outside of what
    the frame wrote.

    The compositor writes what is refreshed whether or not it changed, and always from a widget's left edge, so this is
    what keeps a slow line usable: what changes often stands far to the left.
    """

    shows_cut = True
    """A row that is cut ends in a sign that says so; not where every character counts and one can shift."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.shift = 0
        """Cells of each row that are left out at its start."""
        self._taken: list[Strip] = []
        """What the terminal shows of each row, as soon as all that was refreshed is painted."""
        self._taken_from: list[_Look | None] = []
        """What each of these was made from; None where it must be made anew."""
        self._taken_for = Size(0, 0)
        self._styles: dict[tuple[str, str], Style] = {}

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """The screen row `y` as pieces, at most three looks where it changes often."""
        raise NotImplementedError

    def row_ground(self, y: int) -> str:
        """The look that gives a row its background."""
        return "plain"

    def repaint(self) -> None:
        """Take the rows as they are now; refresh those that changed, as far as they did."""
        if self._taken_for != self.size:
            self.repaint_all()
            return
        changed = [Region(0, y, end, 1) for y in range(len(self._taken)) if (end := self._take_row(y))]
        if changed:
            self.refresh(*changed)

    def repaint_all(self) -> None:
        """Take every row as it is now and refresh them all."""
        self._take_all()
        self.refresh()

    def _take_all(self) -> None:
        size = self._taken_for = self.size
        looks = [self._look(y) for y in range(size.height)]
        self._taken_from = [*looks]
        self._taken = [self._strip(look, size.width) for look in looks]

    def _take_row(self, y: int) -> int:
        """Take one row as it is now; returns how far from the left it changed, 0 for not at all."""
        look = self._look(y)
        if look == self._taken_from[y]:
            return 0
        before, after = self._taken[y], self._strip(look, self._taken_for.width)
        self._taken[y], self._taken_from[y] = after, look
        return _changed_to(before, after)

    def on_resize(self) -> None:
        """Draw anew for the new size."""
        self.repaint_all()

    def notify_style_update(self) -> None:
        """Forget the styles of the old theme."""
        super().notify_style_update()
        self._styles.clear()
        self._taken_from = [None] * len(self._taken)
        self.repaint()

    def style_of(self, look: str, ground: str = "plain") -> Style:
        """A look's style on the background of another one."""
        style = self._styles.get((look, ground))
        if style is None:
            style = look_style(self.app.theme_variables, look)
            if ground not in ("plain", look):
                base = look_style(self.app.theme_variables, ground)
                # On the cursor's row every text takes the cursor's colour: two hues on a third are hard to read.
                style = base if ground == "cursor" else style + Style(bgcolor=base.bgcolor)
            self._styles[(look, ground)] = style
        return style

    def strip_of(self, pieces: Sequence[Piece], ground: str = "plain") -> Strip:
        """Pieces with their styles, in signs that the terminal can show."""
        if getattr(self.app, "plain", False):
            pieces = [(text.translate(PLAIN), look) for text, look in pieces]
        return Strip([Segment(text, self.style_of(look, ground)) for text, look in pieces if text])

    def render_line(self, y: int) -> Strip:
        """One row, as it goes to the terminal."""
        if self._taken_for != self.size:
            # A frame at a new size paints all of it, and may come before the widget hears of the size.
            self._take_all()
        return self._taken[y]

    def row_strip(self, y: int) -> Strip:
        """One row as it is now, cut or filled to the width."""
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
    """How far from the left a row must be drawn again; 0: it is as it was."""
    if before == after:
        return 0
    width = after.cell_length
    old, new = _cells(before), _cells(after)
    if not len(old) == len(new) == width:
        return width
    return next((x for x in range(width, 0, -1) if old[x - 1] != new[x - 1]), 0)


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """A row's cells, a sign with its style each; none where a sign takes another room than one cell."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in strip:
        if not text.isascii() and any(cell_len(sign) != 1 for sign in text):
            return []
        cells.extend((sign, style) for sign in text)
    return cells


class Throttle:
    """Calls a function at once, but at most once in a while; a call that came too soon is made up for.

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
