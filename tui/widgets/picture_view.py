"""A document with pictures: in pixels where the terminal shows them, in dots elsewhere and until it has answered.

Kitty draws a picture where its placeholders stand. These are text: they scroll and vanish as text does. A sixel is
drawn over the dots once nothing was painted there for a moment, and what is painted there afterwards erases it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer

from tui.model.document import Line
from tui.model.picture import Drawing, PictureLine
from tui.widgets.painted import Piece
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from tui.graphics import Graphics, Image, ImageKey

__all__ = ["PictureView"]

_SETTLE_SECONDS = 0.2
"""How long to wait after the cells of a picture were painted: whoever scrolls on would have it sent for nothing."""
_PLACED = "placed-"
"""The look of placeholders, followed by the number of their picture."""


class _Shown(NamedTuple):
    """A part of a picture that is to stand on the screen."""

    drawing: Drawing
    first: int
    """The first of its rows that is visible."""
    y: int
    height: int
    shift: int
    width: int


class PictureView(TextView):
    """A document whose pictures are shown as well as the terminal can."""

    class Refused(Message):
        """A picture was not sent, for a reason to tell."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._graphics: Graphics | None = None
        self._making: set[ImageKey] = set()
        self._refused: set[ImageKey] = set()
        self._over: list[_Shown] = []
        """What stands over the dots, as far as it is known."""
        self._settling: Timer | None = None

    def on_unmount(self) -> None:
        """Forget the terminal."""
        if self._graphics is not None:
            self._graphics.unlisten(self._prepare)

    def show(self, lines: list[Line], keep_place: bool = False, follow: bool = False) -> None:
        """Show another document, and have its pictures made."""
        super().show(lines, keep_place, follow)
        self._prepare()

    def resume(self) -> None:
        """Have the pictures made again that were forgotten while another screen was shown."""
        self._prepare()

    def on_resize(self) -> None:
        """Repaint for the new size; the size of a cell may be another one, too."""
        self._over = []
        if self._graphics is not None:
            self._graphics.ask_cell()
            self._prepare()

    def notify_style_update(self) -> None:
        """Draw in the colours of the new theme."""
        super().notify_style_update()
        if self._graphics is not None:
            self._prepare()

    # Making pictures

    def _prepare(self) -> None:
        drawings = list(dict.fromkeys(line.drawing for line in self.lines if isinstance(line, PictureLine)))
        if self._graphics is None and drawings and self.is_mounted:
            self._graphics = getattr(self.app, "graphics", None)
            if self._graphics is not None:
                self._graphics.listen(self._prepare)
        if self._graphics is None:
            return
        from tui.graphics import KEPT

        if drawings:
            self._graphics.ask()
        # If there are more than are kept, each one that is made has another forgotten.
        for drawing in drawings[:KEPT]:
            key = self._key(drawing)
            if key is not None and self._graphics.find(key) is None and not {key} & (self._making | self._refused):
                self._making.add(key)
                self._make(key, self._graphics)
        self.repaint()
        if drawings:
            self._settle()

    def _key(self, drawing: Drawing) -> ImageKey | None:
        """Return what a picture is made from; None if only dots can be shown."""
        graphics = self._graphics
        # The application has none any more once the user chose to draw with ASCII signs.
        if graphics is None or not graphics.kind or getattr(self.app, "graphics", None) is None:
            return None
        cell, ink, ground = graphics.cell, self.style_of("plain").color, self.background_colors[1]
        if cell is None or ink is None or ink.triplet is None or ground.ansi is not None:
            return None  # of the terminal's own colours it is not known what they are

        from tui.graphics import ImageKey

        return ImageKey(drawing, graphics.kind, cell, (ink.triplet[0], ink.triplet[1], ink.triplet[2]), ground.rgb)

    def _make(self, key: ImageKey, graphics: Graphics) -> None:
        def work() -> None:
            from tui.graphics import make_image

            self.app.call_from_thread(made, make_image(key))

        def made(image: Image) -> None:
            self._making.discard(key)
            graphics.keep(key, image)
            if graphics.find(key) is None:
                self._refused.add(key)
            self._tell_refusal(graphics)
            self.repaint()
            self._settle()

        self.run_worker(work, thread=True, group="pictures", exit_on_error=False)

    def _tell_refusal(self, graphics: Graphics) -> None:
        if graphics.refused:
            self.post_message(self.Refused(graphics.refused))
            graphics.refused = ""

    def _image(self, drawing: Drawing) -> tuple[ImageKey, Image] | None:
        key = self._key(drawing)
        image = self._graphics.find(key) if self._graphics is not None and key is not None else None
        return (key, image) if key is not None and image is not None else None

    # Kitty's placeholders

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the spans of a line, or the placeholders of a picture's row."""
        index = self.top + y
        line = self.lines[index] if index < len(self.lines) else ()
        if isinstance(line, PictureLine) and (found := self._image(line.drawing)) is not None and found[1].number:
            from tui.picture_codes import kitty_row

            return [(kitty_row(line.row, line.drawing.columns), f"{_PLACED}{found[1].number}")]
        return line

    def style_of(self, look: str, ground: str = "plain") -> Style:
        """Return the style of a look; the colour of placeholders says which picture they are of."""
        if look.startswith(_PLACED) and self._graphics is not None:
            red, green, blue = self._graphics.colour_of(int(look.removeprefix(_PLACED)))
            return super().style_of("plain", ground) + Style(color=f"rgb({red},{green},{blue})")
        return super().style_of(look, ground)

    # Sixels

    def repaint(self) -> None:
        """Take the current rows, and erase a sixel that is to stand elsewhere or no more."""
        shown = self._shown() if self._sends_sixels else []
        if self._over and shown != self._over:
            # A row of which only a part differs is painted up to there, and pixels would be left behind it.
            width, height = self.size
            self.refresh(*(Region(0, at, width, 1) for part in self._over for at in _rows(part) if at < height))
            self._over = []
            self._settle()
        super().repaint()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return rows for the terminal; a sixel that they paint over is drawn again."""
        # Not in `render_line`: Textual asks that only for rows that it does not know from the last time.
        painted = self.lines[self.top + crop.y : self.top + crop.bottom]
        if self._sends_sixels and any(isinstance(line, PictureLine) for line in painted):
            self._settle()
        return super().render_lines(crop)

    @property
    def _sends_sixels(self) -> bool:
        return self._graphics is not None and self._graphics.kind == "sixel"

    def _settle(self) -> None:
        if self._sends_sixels and self.is_mounted:
            if self._settling is not None:
                self._settling.stop()
            self._settling = self.set_timer(_SETTLE_SECONDS, lambda: self.call_after_refresh(self._draw))

    def _shown(self) -> list[_Shown]:
        """Return the parts of pictures that are visible and can be drawn."""
        found: list[_Shown] = []
        width, height = self.size
        for y in range(min(height, len(self.lines) - self.top)):
            line = self.lines[self.top + y]
            if not isinstance(line, PictureLine) or self.shift >= line.drawing.columns:
                continue
            last = found[-1] if found else None
            if last is not None and last.drawing == line.drawing and last.y + last.height == y and line.row:
                found[-1] = last._replace(height=last.height + 1)
            elif self._image(line.drawing) is not None:
                found.append(
                    _Shown(line.drawing, line.row, y, 1, self.shift, min(width, line.drawing.columns - self.shift))
                )
        return found

    def _draw(self) -> None:
        """Draw what is visible over the dots."""
        graphics, region = self._graphics, self.region
        # Below a dialog the pictures are painted as well, but a sixel would stand over the dialog.
        if graphics is None or not self._sends_sixels or self.app.screen is not self.screen:
            return
        self._over = []
        for part in self._shown():
            found = self._image(part.drawing)
            if found is None or found[0] in self._refused:
                continue
            key, image = found
            across, down = key.cell
            bits = image.bits[
                part.first * down : (part.first + part.height) * down,
                part.shift * across : (part.shift + part.width) * across,
            ]
            if graphics.draw(region.x, region.y + part.y, bits, key.ink, key.ground):
                self._over.append(part)
            else:
                self._refused.add(key)
        self._tell_refusal(graphics)


def _rows(part: _Shown) -> range:
    return range(part.y, part.y + part.height)
