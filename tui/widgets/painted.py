"""What every widget here has in common: rows drawn by look, and repainted only where they changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from tui.glyphs import PLAIN
from tui.theme import look_style

__all__ = ["Painted", "Piece", "Throttle"]

Piece = tuple[str, str]
"""A text and its look. The text is harmless already: nothing here interprets it."""


class Painted(Widget):
    """A widget of rows, each with a key; `repaint` refreshes the rows whose key is another one, as far as they changed.

    The compositor writes what is refreshed whether or not it changed, and always from a widget's left edge, so this is
    what keeps a slow line usable: what changes often stands far to the left.
    """

    shows_cut = True
    """A row that is cut ends in a sign that says so; not where every character counts and one can shift."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._keys: list[Hashable] = []
        self._drawn: dict[int, Strip] = {}
        """The rows as they were drawn last."""
        self._styles: dict[tuple[str, str], Style] = {}

    def row_key(self, y: int) -> Hashable:
        """All that the look of the screen row `y` depends on."""
        raise NotImplementedError

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """The screen row `y` as pieces, at most three looks where it changes often."""
        raise NotImplementedError

    def row_ground(self, y: int) -> str:
        """The look that gives a row its background."""
        return "plain"

    def repaint(self) -> None:
        """Refresh the rows that changed."""
        height = self.size.height
        keys = [self.row_key(y) for y in range(height)]
        if len(keys) != len(self._keys):
            self._keys = keys
            self.refresh()
            return
        ends = {y: self._changed(y) for y in range(height) if keys[y] != self._keys[y]}
        changed = [Region(0, y, end, 1) for y, end in ends.items() if end]
        self._keys = keys
        if changed:
            self.refresh(*changed)

    def _changed(self, y: int) -> int:
        """How far from the left a row must be drawn again; 0: it is as it was drawn last."""
        width = self.size.width
        before, after = _cells(self._drawn.get(y)), _cells(self.row_strip(y))
        if not len(before) == len(after) == width:
            return width
        return next((x for x in range(width, 0, -1) if before[x - 1] != after[x - 1]), 0)

    def repaint_all(self) -> None:
        """Refresh every row."""
        self._keys = []
        self.repaint()

    def on_resize(self) -> None:
        """Draw anew for the new size."""
        self.repaint_all()

    def notify_style_update(self) -> None:
        """Forget the styles of the old theme."""
        super().notify_style_update()
        self._styles.clear()

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
        strip = self._drawn[y] = self.row_strip(y)
        return strip

    def row_strip(self, y: int) -> Strip:
        """One row, cut or filled to the width."""
        ground = self.row_ground(y)
        pieces = self.row_pieces(y)
        strip, width = self.strip_of(pieces, ground), self.size.width
        if self.shows_cut and strip.cell_length > width > 1:
            sign = self.strip_of([("…", "plain" if ground == "plain" else ground)], ground)
            strip = Strip.join([strip.crop(0, width - 1), sign])
        return strip.adjust_cell_length(width, self.style_of(ground))


def _cells(strip: Strip | None) -> list[tuple[str, Style | None]]:
    """A row's cells, a sign with its style each; none where a sign takes another room than one cell."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in strip or ():
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
