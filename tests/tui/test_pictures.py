"""Pictures in a terminal that shows them, by kitty's protocol or as sixels, and dots in every other."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.color import Color, ColorSystem

from engine.evaluation.picture import Picture
from tests.tui.picture_terminal import CELL, PictureTerminal, add_picture, png_size
from tests.tui.synthetic import make_run
from tui.graphics import KEPT, Cell, Graphics, ImageKey, make_image
from tui.model.bitmap import picture_bits
from tui.model.picture import Drawing
from tui.picture_codes import kitty_row, sixel

ROOT = Path(__file__).parents[2]
CIRCLES = json.dumps({"kind": "circles", "data": [[0.2, 0.2, 0.2], [0.7, 0.7, 0.3]]}).encode()
STEPS = json.dumps({"kind": "steps", "data": [math.sin(step / 9) for step in range(60)]}).encode()

CELL_ANSWER = f"\x1b[6;{CELL[1]};{CELL[0]}t"
KITTY = {
    "name": "\x1bP>|kitty(0.42.1)\x1b\\", "cell": CELL_ANSWER, "abilities": "\x1b[?62;52;c",
    "kitty": "\x1b_Gi=31;OK\x1b\\",
}  # fmt: skip
# No terminal answers with more abilities than Windows Terminal.
LONG = "\x1b[?61;4;6;7;14;21;22;23;24;28;32;42;52c"
SIXEL = {"name": "\x1bP>|foot(1.22.0)\x1b\\", "cell": CELL_ANSWER, "abilities": LONG}
PLACEHOLDER = "\U0010eeee"

Open = Callable[..., PictureTerminal]


@pytest.fixture
def shown(runs: Path) -> Iterator[Open]:
    """Starts the application in a terminal that answers so, and opens the metrics of a node with pictures."""
    opened: list[PictureTerminal] = []

    def start(answers: dict[str, str], *raws: bytes, **options: Any) -> PictureTerminal:
        name = f"run{len(opened)}"
        run = make_run(runs / name, 4, end="finished")
        for number, raw in enumerate(raws or (CIRCLES,)):
            add_picture(run, raw, stage=f"full{number or ''}")
        command = [sys.executable, "-m", "tests.tui.start_tui", str(runs), name]
        terminal = PictureTerminal(command, answers, cwd=ROOT, size=options.pop("size", (100, 60)), **options)
        opened.append(terminal)
        terminal.read_until("Population  row")
        assert not terminal.asked and not terminal.strings, "asked before there is a picture"
        terminal.send("g\r")
        terminal.read_until("1 Code")
        terminal.send("3")
        terminal.read_until("drawn in full")
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


def until(terminal: PictureTerminal, holds: Callable[[], bool]) -> None:
    """Read until something holds that is not seen in the text alone."""
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, f"{terminal.strings}\n{terminal.text}"
        terminal.read(0.1)


def drawing(terminal: PictureTerminal, heading: str = "drawn in full 1") -> list[str]:
    """What stands below a heading, to the next empty line."""
    lines = terminal.text.splitlines()
    below = lines[lines.index(heading) + 1 :]
    return below[: next((at for at, line in enumerate(below) if at > 14), len(below))]


def has_dots(terminal: PictureTerminal) -> bool:
    """Whether a picture is drawn in braille."""
    return any(0x2800 < ord(sign) < 0x2900 for line in drawing(terminal) for sign in line)


def test_kitty_gets_a_picture_once_and_places_it_as_text(shown: Open) -> None:
    terminal = shown(KITTY)
    terminal.read_until(PLACEHOLDER)
    terminal.read_until_quiet(1.0)
    assert terminal.asked == ["name", "cell", "abilities", "kitty"]
    assert [png_size(png) for png in terminal.uploads.values()] == [(30 * CELL[0], 15 * CELL[1])]
    assert sum(map(len, terminal.strings)) < 8_000
    assert [line[:3] for line in drawing(terminal)] == [kitty_row(row, 30)[:3] for row in range(15)]
    number = next(iter(terminal.uploads))
    colours = {terminal.screen.buffer[y][x].fg for y, x in placed(terminal)}
    # pyte names the colours of a terminal with 256 by what they look like.
    assert len(colours) == 1 and 16 <= number <= 231
    before = len(terminal.strings)
    for key in "jjj41\x1b":
        terminal.send(key)
        terminal.read_until_quiet(0.4)
    terminal.read_until("Population  row")
    assert not placed(terminal)
    terminal.send("\r")
    terminal.read_until("1 Code")
    terminal.send("3")
    terminal.read_until(PLACEHOLDER)
    terminal.read_until_quiet(0.5)
    assert len(terminal.strings) == before, "sent again"
    terminal.send("q")
    assert terminal.process.wait(90) == 0
    terminal.read(1.0, quiet=0.2)
    assert terminal.deleted == {number}


def placed(terminal: PictureTerminal) -> list[tuple[int, int]]:
    """The cells with placeholders."""
    screen = terminal.screen
    cells = [(y, x) for y in range(screen.lines) for x in range(screen.columns)]
    return [(y, x) for y, x in cells if screen.buffer[y][x].data.startswith(PLACEHOLDER)]


def test_terminal_that_answers_nothing_gets_dots_and_the_setting_is_believed(shown: Open) -> None:
    bad = [
        b"\x89PNG\r\n\x1a\n",
        b'{"kind": "circles", "data": [[1, 2]]}',
        b"[" * 5000,
        b'{"kind":"steps","data":[1e999]}',
    ]
    terminal = shown({}, CIRCLES, *bad, env={"COLORTERM": "truecolor"})
    assert has_dots(terminal), "with the page itself, and not after a while"
    until(terminal, lambda: terminal.asked == ["name", "cell", "abilities"])
    terminal.read_until(lambda text: text.count("it cannot be shown") == len(bad))
    terminal.send("4")
    terminal.read_until("packed 26 circles")
    assert not terminal.strings
    terminal.send("3\x1bOQ")
    terminal.read_until("pictures auto")
    terminal.send("\x1b[F ")
    terminal.read_until("pictures kitty")
    terminal.send("\x1b")
    terminal.read_until(PLACEHOLDER)
    ((number, png),) = terminal.uploads.items()
    assert png_size(png) == (30 * CELL[0], 15 * CELL[1])
    y, x = placed(terminal)[0]
    assert terminal.screen.buffer[y][x].fg == f"{number:06x}"


def test_sixel_is_drawn_once_and_leaves_no_pixel_behind(shown: Open) -> None:
    terminal = shown(SIXEL, CIRCLES, STEPS, size=(100, 40))
    until(terminal, lambda: bool(terminal.sixels))
    terminal.read_until_quiet(1.0)
    lines = terminal.text.splitlines()
    first = lines.index("drawn in full 1") + 1
    assert terminal.asked == ["name", "cell", "abilities"]
    assert len(terminal.sixels) == 1 and len(terminal.sixels[0]) < 8_000
    assert terminal.screen.rows() == list(range(first, 39)), "up to the last line above the footer"
    terminal.send("jjjjj")
    until(terminal, lambda: len(terminal.sixels) > 1)
    terminal.read_until_quiet(0.6)
    assert terminal.screen.rows() == list(range(first - 5, min(39, first - 5 + 15)))
    # A dialog shows no picture through, and gives it back.
    terminal.send("/")
    terminal.read_until("Find in the text")
    terminal.read_until_quiet(0.6)
    assert not terminal.screen.pixels
    terminal.send("\x1b")
    until(terminal, lambda: bool(terminal.screen.pixels))
    terminal.read_until_quiet(0.6)
    sent = len(terminal.sixels)
    assert terminal.screen.rows() == list(range(first - 5, min(39, first - 5 + 15)))
    terminal.send("\x1b[C")
    until(terminal, lambda: len(terminal.sixels) > sent)
    terminal.read_until_quiet(0.6)
    assert max(x for _, x in terminal.screen.pixels) == 30 - 16 - 1, "shifted to the right"
    terminal.send("\x1b[D4")
    terminal.read_until("packed 26 circles")
    terminal.read_until_quiet(0.6)
    assert not terminal.screen.pixels
    terminal.send("3")
    until(terminal, lambda: bool(terminal.screen.pixels))
    terminal.send("G")
    terminal.read_until("drawn in full1")
    terminal.read_until_quiet(0.6)
    steps = terminal.text.splitlines().index("drawn in full1 1") + 1
    assert set(range(steps, steps + 15)) <= set(terminal.screen.rows())
    assert not terminal.scrolled
    terminal.resize(80, 24)
    terminal.read_until(lambda text: "? Help" in text.splitlines()[-1])
    terminal.read_until_quiet(0.6)
    assert not {y for y in terminal.screen.rows() if y >= 23}
    terminal.send("\x1b")
    terminal.read_until("Population")
    terminal.read_until_quiet(0.6)
    assert not terminal.screen.pixels


class Line:
    """Stands for a driver: it keeps what is sent."""

    def __init__(self, descriptor: int) -> None:
        self.sent: list[str] = []
        self.kept: dict[str, str] = {}
        self.fileno = descriptor
        self.answered: Callable[[str], object] = print

    def write(self, text: str) -> None:
        self.sent.append(text)

    def flush(self) -> None:
        pass


@pytest.fixture
def line() -> Iterator[Any]:
    """A driver of no terminal."""
    with open(os.devnull, "rb") as nothing:
        yield Line(nothing.fileno())


@pytest.mark.parametrize(
    ("setting", "deep", "answers", "kind"),
    [
        ("auto", True, KITTY, "kitty"),
        ("auto", False, KITTY | {"name": "\x1bP>|ghostty 1.2.0\x1b\\"}, "kitty"),
        ("auto", None, KITTY, ""),
        ("auto", True, KITTY | {"name": "\x1bP>|kitty(0.26.5)\x1b\\"}, ""),
        ("auto", True, KITTY | {"kitty": "\x1b_Gi=31;ENOTSUP\x1b\\"}, ""),
        ("auto", True, KITTY | {"abilities": ""}, ""),
        ("auto", True, SIXEL, "sixel"),
        ("auto", None, SIXEL | {"name": ""}, "sixel"),
        ("auto", True, {"name": "", "abilities": "\x1b[?62;4;22;28c"}, "sixel"),
        ("auto", True, SIXEL | {"name": "\x1bP>|tmux 3.4\x1b\\"}, ""),
        ("auto", True, SIXEL | {"abilities": "\x1b[?4;6c"}, ""),
        ("off", True, KITTY | SIXEL, ""),
        ("sixel", None, {}, "sixel"),
    ],
)
def test_way_of_pictures_follows_the_answers(
    setting: str, deep: bool | None, answers: dict[str, str], kind: str, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMUX", "STY", "ZELLIJ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    graphics = Graphics(line, setting, deep, lambda function, text: function(text))
    graphics.ask()
    graphics.ask()
    assert len(line.sent) == (setting != "off")
    for name in ("name", "cell", "abilities"):
        line.answered(answers.get(name, ""))
    if any("a=q" in text for text in line.sent):
        line.answered(answers["kitty"])
    assert graphics.kind == kind
    # An answer that comes twice changes nothing.
    line.answered(answers.get("abilities", ""))
    assert graphics.kind == kind


@pytest.mark.parametrize("name", ["TMUX", "STY", "ZELLIJ"])
def test_nothing_is_asked_inside_a_multiplexer(line: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/tmp/socket,1,0")
    graphics = Graphics(line, "auto", True, lambda function, text: function(text))
    graphics.ask()
    assert not line.sent and not graphics.kind


def test_sixel_waits_for_the_size_of_a_cell(line: Any) -> None:
    graphics = Graphics(line, "auto", True, lambda function, text: function(text))
    graphics.ask()
    told: list[object] = []
    graphics.listen(lambda: told.append(graphics.cell))
    for text in (SIXEL["abilities"], "\x1b[6;0;9t", "\x1b[6;999;999t", SIXEL["cell"]):
        line.answered(text)
    assert told == [None, CELL]


def test_terminal_that_goes_on_answering_is_not_heard(line: Any) -> None:
    """A flood of answers would fill the application's queue, and have pictures made for each size of a cell."""
    heard: list[str] = []
    graphics = Graphics(line, "auto", True, lambda function, text: (heard.append(text), function(text)))
    line.answered(SIXEL["abilities"])
    assert not heard, "before it was asked"
    graphics.ask()
    for size in range(100_000):
        line.answered(f"\x1b[6;{size % 100 + 1};9t")
    assert len(heard) < 10
    line.answered(SIXEL["abilities"])
    assert not graphics.kind
    graphics.use("sixel")
    graphics.ask()
    line.answered(SIXEL["cell"])
    assert (graphics.kind, graphics.cell) == ("sixel", CELL)


def test_pictures_seen_last_are_kept(line: Any) -> None:
    graphics = Graphics(line, "kitty", True, lambda function, text: function(text))
    keys = [
        ImageKey(
            Drawing(str(number), 8, 4, Picture("points", [[0.0, 0.0]])), "kitty", Cell(8, 16), (1, 2, 3), (0, 0, 0)
        )
        for number in range(KEPT + 1)
    ]
    for key in keys[:KEPT]:
        graphics.keep(key, make_image(key))
    assert graphics.find(keys[0]) is not None
    graphics.keep(keys[KEPT], make_image(keys[KEPT]))
    assert [key for key in keys if graphics.find(key) is None] == [keys[1]]
    assert len(line.kept) == KEPT
    assert sum("a=T" in text for text in line.sent) == KEPT + 1 and sum("a=d" in text for text in line.sent) == 1


@pytest.mark.parametrize("deep", [True, False])
def test_colour_of_placeholders_arrives_as_their_number(line: Any, deep: bool) -> None:
    """Of 256 colours a grey would be sent as another one, and the terminal would look for another picture."""
    graphics = Graphics(line, "kitty", deep, lambda function, text: function(text))
    seen = set()
    for number in (graphics._next_number() for _ in range(432)):
        colour = Color.from_rgb(*graphics.colour_of(number))
        arrives = colour.downgrade(ColorSystem.TRUECOLOR if deep else ColorSystem.EIGHT_BIT)
        assert number == (int(colour.name[1:], 16) if deep else arrives.number) > 0
        seen.add(number)
    assert len(seen) == 210, "the cube but for its greys"


def test_sixel_that_is_too_large_stays_in_dots(shown: Open) -> None:
    noise = np.random.default_rng(0).random(4096).round(3).tolist()
    raw = json.dumps({"kind": "steps", "data": noise}).encode()
    terminal = shown(SIXEL | {"cell": "\x1b[6;60;30t"}, raw)
    terminal.read_until("too large to send")
    assert has_dots(terminal) and not terminal.sixels
    # A megabyte of answers, some of which nobody asked for and some of which are none.
    flood = f"\x1b[6;60;30t\x1bP>|{'kitty' * 99}\x1b\\\x1b[?4{';4' * 99}c{KITTY['name']}{KITTY['kitty']}\x1b[?;;c"
    for _ in range(1500):
        terminal.send(flood)
        terminal.read(0.001)
    terminal.send("4")
    terminal.read_until("packed 26 circles")
    assert not terminal.strings


HOSTILE = [
    Picture("points", [[0.0, 0.0]]),
    Picture("points", [[1e149, -1e149], [0.0, 1e-300]]),
    Picture("circles", [[0.0, 0.0, -1.0], [5.0, 0.0, 0.0]]),
    Picture("circles", [[0.0, 0.0, 1e149]] * 1365),
    Picture("circles", [[1e17, 1e17, 1e-9]]),
    Picture("steps", [[0.0]] * 4096),
    Picture("steps", [[-1e149], [1e149]]),
    Picture("steps", [[5e-324]]),
]


@pytest.mark.parametrize("picture", HOSTILE)
def test_every_picture_is_drawn_in_pixels(picture: Picture) -> None:
    for width, height in ((300, 300), (600, 300), (1, 1), (80, 300)):
        bits = picture_bits(picture, width, height)
        assert bits.shape == (max(8, height), max(8, width)) and bits.any()


def test_circle_is_round_and_fills_its_square() -> None:
    bits = picture_bits(Picture("circles", [[0.0, 0.0, 1.0]]), 400, 300)
    lines, columns = np.nonzero(bits)
    assert bits[:, 300:].sum() == 0
    assert min(lines) <= 2 and max(lines) >= 297 and min(columns) <= 2 and max(columns) >= 297
    middle = (np.array([lines.max() + lines.min(), columns.max() + columns.min()])) / 2
    away = np.hypot(lines - middle[0], columns - middle[1])
    assert away.max() - away.min() < 4


def decoded(drawn: str) -> np.ndarray[Any, Any]:
    """The pixels of a sixel by the number of their colour, -1 where none is; as a terminal draws them."""
    head = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)((?:#\d;2;\d+;\d+;\d+)+)', drawn)
    assert head is not None and drawn.endswith("\x1b\\")
    pixels = np.full((int(head[2]) + 6, int(head[1]) + 6), -1)
    colour = x = y = 0
    for found in re.finditer(r"#(\d)|!(\d+)(.)|([$-])|([?-~])", drawn[head.end() : -2]):
        if found[1]:
            colour = int(found[1])
        elif found[4]:
            x, y = 0, y + 6 * (found[4] == "-")
        else:
            count, sign = (int(found[2]), found[3]) if found[2] else (1, found[5])
            for bit in range(6):
                if (ord(sign) - 63) >> bit & 1:
                    pixels[y + bit, x : x + count] = colour
            x += count
    return pixels


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (60, 6), (100, 300)])
def test_sixel_shows_each_pixel_and_none_outside(size: tuple[int, int]) -> None:
    width, height = size
    bits = np.random.default_rng(1).random((height, width)) < 0.3
    bits[:, width // 2 :] = True
    pixels = decoded(sixel(bits, (208, 208, 208), (18, 18, 18)))
    assert (pixels[:height, :width] == bits).all()
    assert (pixels[height:] == -1).all() and (pixels[:, width:] == -1).all()
