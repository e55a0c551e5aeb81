"""Find a packing that is written down in a program instead of computed by it.

All numbers in a program's text are read in their order: literals, sums and products of literals, numbers in texts, and
what texts, bytes and long integers decode to. Centers of the packing are looked for among pairs of them.
"""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import lzma
import math
import operator
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

NEAR = 0.01
"""Largest distance, in x and in y, of a written center from the packing's: what two decimal digits are worth."""
CELL = 0.005
"""Places are told apart by cells of this size."""
LAGS = 130
"""A center's y stands at most so many numbers after its x."""
LONGEST = 1000
"""Numbers of a sequence that are looked at."""
MOST = 1000
"""Sequences that are looked at."""
DEPTH = 3
"""How often a text is decoded that was decoded from another one."""
SIZE = 1 << 16
"""Bytes of a text that are looked at, before and after it is unpacked."""
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
KINDS = ("<e", ">e", "<f", ">f", "<d", ">d", "<B", "<H", ">H", "<I", ">I", "<Q", ">Q")
"""Formats of packed numbers, as in the module struct."""

Sequence = list[float]
Center = tuple[float, float]

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def count_written(text: str, centers: list[Center]) -> int:
    """Return how many of the packing's centers are written in the program, up to the symmetries of the square."""
    places = np.array([[turn(x, y) for x, y in centers] for turn in SYMMETRIES])
    table = Table(places)
    most = 0
    for sequence in islice(sequences(text), MOST):
        for scaled in scales(sequence):
            inside = np.unique(scaled[(scaled >= 0) & (scaled <= 1)])
            # What cannot be enough is not looked at.
            if len(inside) > most:
                most = max(most, table.count_pairs(scaled))
        most = max(most, stretched(sequence, places, table))
    return most


class Table:
    """Which centers lie near a place, for each symmetry, as a bit each.

    Args:
        places: centers by symmetry, shape (symmetries, count, 2).
    """

    def __init__(self, places: np.ndarray) -> None:
        self.side = round(1 / CELL)
        middles = (np.arange(self.side) + 0.5) * CELL
        # The last place is for pairs that are none.
        self.bits = np.zeros((len(places), self.side**2 + 1), dtype=np.uint64)
        for image, centers in enumerate(places):
            for number, (x, y) in enumerate(centers[:64]):
                near = np.outer(abs(middles - x) <= NEAR, abs(middles - y) <= NEAR).ravel()
                self.bits[image, :-1][near] |= np.uint64(1 << number)

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Return the rows or columns of places in the square."""
        return np.minimum(values * self.side, self.side - 1).astype(np.int32)

    def count_pairs(self, values: np.ndarray) -> int:
        """Return how many centers are pairs of values at one distance, for the best distance and symmetry."""
        outside = self.side
        cells = np.where((values >= 0) & (values <= 1), self.cells(values.clip(0, 1)), outside)
        later = np.lib.stride_tricks.sliding_window_view(
            np.concatenate([cells[1:], np.full(LAGS, outside)]), len(cells)
        )
        first, second = np.broadcast_arrays(cells, later)
        wanted = (first < outside) & (second < outside)
        pairs = np.where(wanted, first * self.side + second, self.side**2)
        found = np.bitwise_or.reduce(self.bits[:, pairs], axis=2)
        return max(int(bits).bit_count() for bits in np.unique(found))

    def count_each(self, image: int, xs: np.ndarray, ys: np.ndarray) -> int:
        """Return the same for rows of places and one symmetry: the largest of the rows."""
        pairs = self.cells(xs.clip(0, 1)) * self.side + self.cells(ys.clip(0, 1))
        found = np.bitwise_or.reduce(self.bits[image][pairs], axis=1)
        return max(int(bits).bit_count() for bits in found)


SYMMETRIES = (
    lambda x, y: (x, y),
    lambda x, y: (1 - x, y),
    lambda x, y: (x, 1 - y),
    lambda x, y: (1 - x, 1 - y),
    lambda x, y: (y, x),
    lambda x, y: (1 - y, x),
    lambda x, y: (y, 1 - x),
    lambda x, y: (1 - y, 1 - x),
)


def scales(sequence: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a sequence as it is, and as digits after the point where it has numbers above 1."""
    yield sequence
    largest = float(sequence.max())
    for digits in (*range(1, 10), *range(12, 19)):
        if 10.0**digits > largest / 100 and largest >= 10.0 ** (digits - 1):
            yield sequence / 10.0**digits
    for bits in (8, 16, 32, 64):
        if 2.0 ** (bits - 8) < largest <= 2.0**bits:
            yield sequence / 2.0**bits


def stretched(sequence: np.ndarray, places: np.ndarray, table: Table) -> int:
    """Return how many centers match numbers in a row if these are scaled and moved to where the centers lie.

    Where numbers are moved at will, few matches say nothing: fewer than three quarters count as none.
    """
    count, most = places.shape[1], 0
    if len(sequence) < 2 * count:
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(sequence, 2 * count)
    windows = windows[(np.diff(np.sort(windows, axis=1), axis=1) > 0).sum(1) >= count]
    if not len(windows):
        return 0
    for image, centers in enumerate(places):
        low, high = centers.min(0), centers.max(0)
        both = fitted(windows, low.min(), high.max())
        apart = [fitted(part, low[k], high[k]) for k, part in enumerate((windows[:, :count], windows[:, count:]))]
        for xs, ys in ((both[:, 0::2], both[:, 1::2]), apart):
            found = table.count_each(image, xs, ys)
            most = max(most, found if found >= 0.75 * count else 0)
    return most


def fitted(rows: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return rows of numbers, each moved and scaled so that it goes from `low` to `high`."""
    least, most = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    return low + (rows - least) * ((high - low) / np.maximum(most - least, 1e-300))


def sequences(text: str) -> Iterator[np.ndarray]:
    """Yield the numbers of a program in their order, in several readings, and those of each packed text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    packed: list[str | bytes | int] = []
    for fold in (True, False):
        found: Sequence = []
        packed = []
        for value in constants(tree, fold):
            if isinstance(value, (str, bytes)):
                packed.append(value)
                found += written_numbers(value)
            elif isinstance(value, int) and abs(value) >= 10**18:
                packed.append(abs(value))
            else:
                found.append(abs(float(value)))
        yield from usable([found])
    for value in packed:
        yield from usable(unpacked(value))


def usable(found: Iterable[Sequence]) -> Iterator[np.ndarray]:
    """Yield sequences without what is no number, and long enough for some centers."""
    for sequence in found:
        numbers = np.array([value for value in sequence[:LONGEST] if math.isfinite(value)])
        if len(numbers) >= 16 and len(np.unique(numbers)) >= 8:
            yield numbers


def constants(tree: ast.AST, fold: bool) -> Iterator[str | bytes | int | float]:
    """Yield literals in the order of the text; with `fold`, sums and products of literals as one."""
    pending = [tree]
    while pending:
        node = pending.pop()
        value = folded(node) if fold and isinstance(node, (ast.BinOp, ast.UnaryOp)) else None
        if value is not None:
            yield value
            continue
        if isinstance(node, ast.Constant):
            if isinstance(node.value, complex):
                yield from (node.value.real, node.value.imag)
            elif isinstance(node.value, (str, bytes, int, float)) and not isinstance(node.value, bool):
                yield node.value
            continue
        pending.extend(reversed(list(ast.iter_child_nodes(node))))


def folded(node: ast.AST, depth: int = 0) -> int | float | None:
    """Return the value of an expression of number literals; None for any other."""
    if depth > 40:
        return None
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = folded(node.operand, depth + 1)
        return -value if value is not None and isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        first, second = folded(node.left, depth + 1), folded(node.right, depth + 1)
        if first is None or second is None or max(abs(first), abs(second)) > 1e300:
            return None
        try:
            if isinstance(node.op, ast.Pow):
                return float(first) ** float(second) if abs(second) < 1000 else None
            if type(node.op) in OPERATORS:
                value = OPERATORS[type(node.op)](first, second)
                return value if math.isfinite(value) else None
        except (ArithmeticError, ValueError, TypeError):
            return None
    return None


def written_numbers(value: str | bytes) -> Sequence:
    """Return the numbers that a text spells out."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    found: Sequence = []
    for match in NUMBER.findall(text[:SIZE]):
        try:
            found.append(abs(float(match)))
        except (ValueError, OverflowError):
            continue
    return found


def unpacked(value: str | bytes | int, depth: int = 0) -> Iterator[Sequence]:
    """Yield what a text, bytes or a long integer decode to, as numbers."""
    if isinstance(value, int):
        size = (value.bit_length() + 7) // 8
        if size > SIZE:
            return
        for order in ("big", "little"):
            yield from unpacked(value.to_bytes(size, order), depth)
        try:
            yield from digits(str(value))
        except ValueError:
            return  # longer than Python converts
        return
    text = value if isinstance(value, str) else value.decode("latin-1")
    if len(text) < 16:
        return
    text = text[:SIZE]
    if depth:
        yield written_numbers(text)
    yield [float(ord(sign)) for sign in text]
    if len(set(text)) <= 10 and text.isdecimal():
        yield from digits(text)
    if isinstance(value, bytes):
        for kind in KINDS:
            size = struct.calcsize(kind)
            yield [abs(float(item)) for (item,) in struct.iter_unpack(kind, value[: len(value) // size * size])]
    if depth < DEPTH:
        for decoded in decodings(value, text, depth > 0):
            yield from unpacked(decoded[:SIZE], depth + 1)


def digits(text: str) -> Iterator[Sequence]:
    """Yield a row of digits cut into numbers of equal length."""
    for size in range(2, 18):
        for start in range(min(size, 4)):
            yield [int(text[k : k + size]) / 10.0**size for k in range(start, len(text) - size + 1, size)]


def decodings(value: str | bytes, text: str, nested: bool) -> Iterator[bytes]:
    """Yield what a text may have been packed into; what was unpacked already is not tried by rare ways."""
    data = value if isinstance(value, bytes) else text.encode("utf-8", "replace")
    squeezed = b"".join(data.split())
    rare = (
        lambda: base64.urlsafe_b64decode(squeezed + b"=" * (-len(squeezed) % 4)),
        lambda: base64.b32decode(squeezed),
        lambda: base64.b85decode(squeezed),
        lambda: base64.a85decode(squeezed),
    )
    for decode in (
        *(() if nested else rare),
        lambda: bytes.fromhex(squeezed.decode("ascii")),
        lambda: base64.b64decode(squeezed + b"=" * (-len(squeezed) % 4), validate=True),
        lambda: zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, SIZE),
        lambda: zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, SIZE),
        lambda: bz2.BZ2Decompressor().decompress(data, SIZE),
        lambda: lzma.LZMADecompressor(memlimit=1 << 26).decompress(data, SIZE),
    ):
        try:
            found = decode()
        except (ValueError, binascii.Error, zlib.error, OSError, EOFError, lzma.LZMAError, MemoryError):
            continue
        if len(found) >= 16 and found != data:
            yield found
