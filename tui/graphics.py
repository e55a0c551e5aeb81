"""What pictures the terminal can show: it is asked when there is a first one, and nobody waits for its answer."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui.driver import TerminalDriver
from tui.model.picture import Drawing, Rgb

if TYPE_CHECKING:
    # Only the thread that makes a picture loads what draws it.
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEPT", "Cell", "Graphics", "Image", "ImageKey", "make_image"]

Kind = Literal["", "kitty", "sixel"]

_ASK = "\x1b[>q\x1b[16t\x1b[c"
"""Who are you, how large is a cell, what can you do: every terminal answers the last, so that it ends the answers."""
_ASK_CELL = "\x1b[16t"
_ASK_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_NAME = re.compile(r"\x1bP>\|(.*)\x1b\\", re.DOTALL)
_CELL = re.compile(r"\x1b\[6;(\d{1,3});(\d{1,3})t")
_ABILITIES = re.compile(r"\x1b\[\?(\d[\d;]*)c")
_KITTY_OK = "\x1b_Gi=31;OK\x1b\\"
_PLACEHOLDERS = re.compile(r"ghostty|kitty\((?:0\.(?:2[89]|[3-9]\d)|[1-9])")
"""Terminals that draw pictures where placeholders stand; others take the pictures, and show letters there."""
_MULTIPLEXERS = ("screen", "tmux")

KEPT = 8
"""How many pictures are kept, here and in kitty."""
_MOST_BYTES = 65_536
_MOST_PIXELS = 360_000
"""Of a picture for kitty, which stretches it."""
_MOST_ANSWERS = 8
"""How many answers a question may bring; a terminal that goes on answering is not heard."""
_LARGEST_CELL = 128
_USUAL_CELL = (10, 20)


class Cell(NamedTuple):
    """The size of one cell in pixels."""

    width: int
    height: int


class ImageKey(NamedTuple):
    """What a picture is drawn from."""

    drawing: Drawing
    kind: Kind
    cell: Cell
    ink: Rgb
    ground: Rgb


class Image(NamedTuple):
    """A picture as it is sent."""

    bits: NDArray[np.bool_]
    number: int = 0
    """Kitty's number of it."""


class Graphics:
    """Asks the terminal, and keeps the pictures that were made for it.

    Args:
        driver: the terminal's driver.
        setting: `auto`, `kitty`, `sixel` or `off`.
        deep: whether a colour reaches the terminal as red, green and blue; False: as one of 256; None: not at all.
        call: calls a function in the application's thread.
    """

    def __init__(
        self,
        driver: TerminalDriver,
        setting: str,
        deep: bool | None,
        call: Callable[..., object],
    ) -> None:
        self.kind: Kind = ""
        self.refused = ""
        """Why a picture was not sent; empty once that is told."""
        self._driver = driver
        self._deep = deep
        self._setting = setting
        self._asked = self._known = False
        self._cell: Cell | None = None
        self._name = ""
        self._images: dict[ImageKey, Image] = {}
        self._count = 0
        self._listeners: list[Callable[[], None]] = []
        self._call = call
        self._left = 0
        """How many answers are still heard."""
        driver.answered = self._hear

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function whenever something becomes known."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def use(self, setting: str) -> None:
        """Obey another setting."""
        if setting != self._setting:
            self._setting, self.kind, self._asked, self._known = setting, "", False, False
            self._tell()

    def ask(self) -> None:
        """Ask the terminal, if that was not done and would help."""
        if self._asked:
            return
        self._asked = True
        if self._setting == "kitty" and self._deep is not None:
            self.kind = "kitty"
        elif self._setting == "sixel":
            self.kind = "sixel"
        if self.kind:
            self._question(_ASK_CELL)
        elif self._setting == "auto" and not _in_multiplexer():
            self._question(_ASK)

    def _hear(self, answer: str) -> None:
        # Runs in the input's thread.
        if self._left > 0:
            self._left -= 1
            self._call(self.take, answer)

    def take(self, answer: str) -> None:
        """Take an answer of the terminal."""
        before = self.kind, self._cell
        if found := _CELL.fullmatch(answer):
            size = Cell(int(found[2]), int(found[1]))
            self._cell = size if all(0 < side <= _LARGEST_CELL for side in size) else None
        elif found := _NAME.fullmatch(answer):
            self._name = found[1].lower()
        elif self._known or self._setting != "auto":
            return
        elif found := _ABILITIES.fullmatch(answer):
            self._known = True
            if self._name.startswith(_MULTIPLEXERS):
                return
            if "4" in found[1].split(";")[1:]:
                self.kind = "sixel"
            elif self._deep is not None and _PLACEHOLDERS.match(self._name):
                self._known = False
                self._question(_ASK_KITTY)
        elif answer == _KITTY_OK and self._deep is not None and _PLACEHOLDERS.match(self._name):
            self._known = True
            self.kind = "kitty"
        if (self.kind, self._cell) != before:
            self._tell()

    def ask_cell(self) -> None:
        """Ask for the size of a cell again: a new size of the window may come from a new size of its letters."""
        if self.kind:
            self._question(_ASK_CELL)

    @property
    def cell(self) -> Cell | None:
        """The size of a cell; None if it is not known and pictures need to know it."""
        if self._cell is not None:
            return self._cell
        try:
            asked = fcntl.ioctl(self._driver.fileno, termios.TIOCGWINSZ, b"\0" * 8)
        except OSError:
            asked = b"\0" * 8
        rows, columns, width, height = struct.unpack("HHHH", asked)
        if rows and columns and 0 < width // columns <= _LARGEST_CELL and 0 < height // rows <= _LARGEST_CELL:
            return Cell(width // columns, height // rows)
        # Kitty stretches pictures to their cells. A sixel has the size that it has, and must not run over.
        return Cell(*_USUAL_CELL) if self.kind == "kitty" or self._setting == "sixel" else None

    def find(self, key: ImageKey) -> Image | None:
        """Return a picture that is kept, which is forgotten after those that nobody has found since."""
        image = self._images.pop(key, None)
        if image is not None:
            self._images[key] = image
        return image

    def keep(self, key: ImageKey, image: Image) -> None:
        """Keep a picture, and give it to kitty; of many, forget the one that was found longest ago."""
        from tui.picture_codes import kitty_delete, kitty_upload

        if key in self._images:
            return
        while len(self._images) >= KEPT:
            oldest = next(iter(self._images))
            number = self._images.pop(oldest).number
            if number:
                delete = kitty_delete(number)
                self._driver.kept.pop(delete, None)
                self._send(delete)
        if key.kind == "kitty":
            number = self._next_number()
            upload = kitty_upload(number, image.bits, key.drawing.columns, key.drawing.rows, key.ink)
            if len(upload) > _MOST_BYTES:
                self.refuse(len(upload))
                return
            image = image._replace(number=number)
            self._driver.kept[kitty_delete(number)] = upload
            self._send(upload)
        self._images[key] = image

    def draw(self, column: int, row: int, bits: NDArray[np.bool_], ink: Rgb, ground: Rgb) -> bool:
        """Draw pixels over the cells from (column, row) on, both from 0; return False if they are too many to send."""
        from tui.picture_codes import sixel

        drawn = sixel(bits, ink, ground)
        if len(drawn) > _MOST_BYTES:
            self.refuse(len(drawn))
            return False
        self._send(f"\x1b7\x1b[{row + 1};{column + 1}H{drawn}\x1b8")
        return True

    def refuse(self, size: int) -> None:
        """Keep why a picture is not sent."""
        self.refused = f"a picture of {size // 1024} KB is too large to send; dots stand for it"

    def _next_number(self) -> int:
        """Return a picture's number, which is also the colour that its placeholders have: one of the 216 of a cube."""
        self._count += 1
        index = 16 + (self._count * 7) % 216
        red, green, blue = cube_colour(index)
        if red == green == blue:
            # Black is no number, and a grey of the cube is sent as one of the 24 greys beside it.
            return self._next_number()
        if not self._deep:
            return index
        return red << 16 | green << 8 | blue

    def colour_of(self, number: int) -> Rgb:
        """Return the colour of the placeholders of a picture."""
        return (number >> 16, number >> 8 & 255, number & 255) if self._deep else cube_colour(number)

    def _question(self, sequence: str) -> None:
        self._left = _MOST_ANSWERS
        self._send(sequence)

    def _send(self, sequence: str) -> None:
        self._driver.write(sequence)
        self._driver.flush()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


def cube_colour(index: int) -> Rgb:
    """Return one of the colours 16 to 231 of a terminal with 256."""
    red, green, blue = ((index - 16) // step % 6 for step in (36, 6, 1))
    return tuple(55 + 40 * part if part else 0 for part in (red, green, blue))  # type: ignore[return-value]


def make_image(key: ImageKey) -> Image:
    """Return a picture in pixels; takes up to some tens of milliseconds, and more the first time."""
    import tui.picture_codes  # noqa: F401 - so that nobody waits for it later
    from tui.model.bitmap import picture_bits

    width, height = key.drawing.columns * key.cell.width, key.drawing.rows * key.cell.height
    if key.kind == "kitty":
        shrunk = max(1.0, (width * height / _MOST_PIXELS) ** 0.5)
        width, height = int(width / shrunk), int(height / shrunk)
    return Image(picture_bits(key.drawing.picture, width, height))


def _in_multiplexer() -> bool:
    """Return whether a program between here and the terminal keeps a screen of its own, without pictures."""
    inside = any(os.environ.get(name) for name in ("TMUX", "STY", "ZELLIJ"))
    return inside or os.environ.get("TERM", "").startswith(_MULTIPLEXERS)
