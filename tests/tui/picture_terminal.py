"""A terminal that shows pictures: it answers what it is asked, and knows which cells a sixel covers."""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64decode
from typing import Any

import pyte

from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, sha256_of
from engine.runs.folder import Run
from tests.tui.synthetic import add_events
from tests.tui.terminal import Terminal

CELL = (10, 20)
"""The size of a cell in pixels, as it is answered."""

_STRING = re.compile(rb"\x1b[_P].*?\x1b\\", re.DOTALL)
_OPEN = re.compile(rb"\x1b(?:[_P][^\x1b]*\x1b?|\[[0-9;>?]*)?$", re.DOTALL)
_SIXEL = re.compile(rb'\x1bP0;1;0q"1;1;(\d+);(\d+)')


class Covered(pyte.Screen):
    """A screen whose cells hold pixels of a sixel until something is written there."""

    def __init__(self, columns: int, rows: int) -> None:
        self.pixels: set[tuple[int, int]] = set()
        super().__init__(columns, rows)

    def draw(self, data: str) -> None:
        for sign in data:
            super().draw(sign)
            self.pixels.discard((self.cursor.y, self.cursor.x - 1))

    def reset(self) -> None:
        super().reset()
        self.pixels.clear()

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        super().resize(lines, columns)
        self.pixels = {(y, x) for y, x in self.pixels if y < self.lines and x < self.columns}

    def erase_in_display(self, how: int = 0, *args: Any, **options: Any) -> None:
        super().erase_in_display(how, *args, **options)
        if how in (2, 3):
            self.pixels.clear()

    def rows(self) -> list[int]:
        """The rows with pixels."""
        return sorted({y for y, _ in self.pixels})


class PictureTerminal(Terminal):
    """Starts a command in a terminal that answers what it is asked.

    Args:
        answers: what it says to a question: `name`, `cell`, `abilities`, `kitty`; what is missing is not answered.
    """

    def __init__(self, command: list[str], answers: dict[str, str], **options: Any) -> None:
        super().__init__(command, **options)
        self.screen: Covered = Covered(self.screen.columns, self.screen.lines)
        self._emulator = pyte.ByteStream(self.screen)
        self._stream = self  # type: ignore[assignment]
        self._held = b""
        self._answers = answers
        self.asked: list[str] = []
        self.scrolled = 0
        """How many sixels came to the end of the screen, where a terminal may scroll."""
        self.strings: list[bytes] = []
        """The strings that came: of kitty's protocol, and sixels."""

    def feed(self, data: bytes) -> None:
        """Take what the application wrote, as an emulator does."""
        data = self._held + data
        cut = _OPEN.search(data)
        self._held, data = (data[cut.start() :], data[: cut.start()]) if cut is not None else (b"", data)
        place = 0
        for found in _STRING.finditer(data):
            self._text(data[place : found.start()])
            self._string(found[0])
            place = found.end()
        self._text(data[place:])

    def _text(self, data: bytes) -> None:
        for question, name in ((b"\x1b[>q", "name"), (b"\x1b[16t", "cell"), (b"\x1b[c", "abilities")):
            for _ in range(data.count(question)):
                self._answer(name)
        self._emulator.feed(data.replace(b"\x1b[>q", b"").replace(b"\x1b[16t", b""))

    def _string(self, data: bytes) -> None:
        self.strings.append(data)
        if b"a=q" in data:
            self._answer("kitty")
        elif found := _SIXEL.match(data):
            y, x = self.screen.cursor.y, self.screen.cursor.x
            across, down = -(-int(found[1]) // CELL[0]), -(-int(found[2]) // CELL[1])
            self.scrolled += y + down >= self.screen.lines
            self.screen.pixels |= {(y + row, x + column) for row in range(down) for column in range(across)}

    def _answer(self, name: str) -> None:
        self.asked.append(name)
        if name in self._answers:
            self.send(self._answers[name])

    @property
    def sixels(self) -> list[bytes]:
        """The sixels that came."""
        return [data for data in self.strings if _SIXEL.match(data)]

    @property
    def uploads(self) -> dict[int, bytes]:
        """The pictures that kitty was given, as PNG by number."""
        found: dict[int, bytes] = {}
        number = 0
        for data in self.strings:
            head, _, body = data[3:-2].partition(b";")
            if named := re.search(rb"a=T,U=1,i=(\d+)", head):
                number = int(named[1])
                assert number not in found, "sent twice"
                found[number] = b""
            if named or head.startswith(b"q=2,m="):
                found[number] += body
        return {number: b64decode(body) for number, body in found.items()}

    @property
    def deleted(self) -> set[int]:
        """The pictures that kitty was told to forget."""
        return {int(found[1]) for data in self.strings if (found := re.match(rb"\x1b_Ga=d,d=I,i=(\d+)", data))}


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, whose every part is checked."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, parts = 8, {}
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        parts[name] = body
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    assert (depth, kind) == (1, 3)
    assert len(zlib.decompress(parts[b"IDAT"])) == height * (1 + -(-width // 8))
    return width, height


def add_picture(run: Run, raw: bytes, node: int = 0, stage: str = "full") -> None:
    """Have an evaluation of a node report a picture."""
    connection = connect_writer(run.db)
    with connection:
        insert_blob(connection, raw)
    connection.close()
    add_events(run, (ev.EvalStageDone(stage, "ok", score=0.5, picture_blob=sha256_of(raw)), node))
