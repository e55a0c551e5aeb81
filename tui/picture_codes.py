"""The escape sequences of pictures: kitty's graphics protocol with placeholders, and sixel."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from tui.model.picture import Rgb

__all__ = ["kitty_delete", "kitty_row", "kitty_upload", "sixel"]

_CHUNK = 4096
"""The most bytes of data that kitty takes in one sequence."""
_PLACEHOLDER = "\U0010eeee"
# The numbers 0 to 63 as kitty writes them: marks that a letter may carry, in the order of its list.
_MARKS = "".join(
    map(
        chr,
        (
            0x305, 0x30D, 0x30E, 0x310, 0x312, 0x33D, 0x33E, 0x33F, 0x346, 0x34A, 0x34B, 0x34C, 0x350, 0x351, 0x352,
            0x357, 0x35B, 0x363, 0x364, 0x365, 0x366, 0x367, 0x368, 0x369, 0x36A, 0x36B, 0x36C, 0x36D, 0x36E, 0x36F,
            0x483, 0x484, 0x485, 0x486, 0x487, 0x592, 0x593, 0x594, 0x595, 0x597, 0x598, 0x599, 0x59C, 0x59D, 0x59E,
            0x59F, 0x5A0, 0x5A1, 0x5A8, 0x5A9, 0x5AB, 0x5AC, 0x5AF, 0x5C4, 0x610, 0x611, 0x612, 0x613, 0x614, 0x615,
            0x616, 0x617, 0x657, 0x658,
        ),
    )
)  # fmt: skip
_LONG_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def kitty_upload(number: int, bits: NDArray[np.bool_], columns: int, rows: int, ink: Rgb) -> str:
    """Return what gives kitty a picture to draw where its placeholders stand.

    Args:
        number: the picture's, as the colour of its placeholders tells it.
        bits: its pixels, shape (height, width), true where there is ink; the others let the background through.
        columns: cells across, at most 64.
        rows: cells down, at most 64.
        ink: the colour.
    """
    data = base64.b64encode(_png(bits, ink)).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    # q=2: it answers nothing, not even an error.
    keys = [f"a=T,U=1,i={number},c={columns},r={rows},f=100,q=2,", *("q=2," for _ in chunks[1:])]
    more = [1] * (len(chunks) - 1) + [0]
    parts = zip(keys, more, chunks, strict=True)
    return "".join(f"\x1b_G{key}m={goes_on};{chunk}\x1b\\" for key, goes_on, chunk in parts)


def kitty_delete(number: int) -> str:
    """Return what has kitty forget a picture."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def kitty_row(row: int, columns: int) -> str:
    """Return the placeholders of one row of cells; each names its place, so that a part of the row can stand alone."""
    return "".join(f"{_PLACEHOLDER}{_MARKS[row]}{_MARKS[column]}" for column in range(columns))


def _png(bits: NDArray[np.bool_], ink: Rgb) -> bytes:
    height, width = bits.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), np.packbits(bits, axis=1)])
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0),
        b"PLTE": bytes((0, 0, 0, *ink)),
        b"tRNS": b"\0\xff",
        b"IDAT": zlib.compress(lines.tobytes(), 9),
        b"IEND": b"",
    }
    framed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def sixel(bits: NDArray[np.bool_], ink: Rgb, ground: Rgb) -> str:
    """Return what draws a picture at the cursor, over what stands there.

    Args:
        bits: its pixels, shape (height, width), true where there is ink.
        ink: the colour.
        ground: the colour of the other pixels.
    """
    height, width = bits.shape
    bands = -(-height // 6)
    padded = np.zeros((bands * 6, width), np.uint8)
    padded[:height] = bits
    weights = np.array([1, 2, 4, 8, 16, 32], np.uint8)
    signs = (padded.reshape(bands, 6, width) * weights[None, :, None]).sum(axis=1).astype(np.uint8) + 63
    colours = (f"#{at};2;" + ";".join(str(round(part / 2.55)) for part in rgb) for at, rgb in enumerate((ground, ink)))
    written = [f'\x1bP0;1;0q"1;1;{width};{height}{"".join(colours)}']
    for band in range(bands):
        # The last band may hold less than six lines: it must not reach into what stands below.
        full = chr(63 + (1 << min(6, height - band * 6)) - 1)
        inked = _LONG_RUN.sub(_shorten, signs[band].tobytes().rstrip(b"?")).decode()
        written.append(f"#0!{width}{full}" + (f"$#1{inked}" if inked else "") + "-")
    return "".join(written).removesuffix("-") + "\x1b\\"


def _shorten(run: re.Match[bytes]) -> bytes:
    return b"!%d%b" % (len(run[0]), run[1])
