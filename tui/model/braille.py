"""Draw dots in braille cells: two columns and four rows of dots in one character."""

from __future__ import annotations

__all__ = ["DOT_COLUMNS", "DOT_ROWS", "Canvas"]

DOT_COLUMNS = 2
DOT_ROWS = 4
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Canvas:
    """A grid of cells with dots; the origin is at the top left.

    Args:
        width: cells across.
        height: cells down.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.cells = [bytearray(width) for _ in range(height)]

    def dot(self, x: int, y: int) -> None:
        """Set the dot `x` columns of dots from the left and `y` rows of dots from the top, if it is on the canvas."""
        if 0 <= x < self.width * DOT_COLUMNS and 0 <= y < self.height * DOT_ROWS:
            self.cells[y // DOT_ROWS][x // DOT_COLUMNS] |= _BITS[y % DOT_ROWS][x % DOT_COLUMNS]

    def column(self, x: int, top: int, bottom: int) -> None:
        """Set all dots of one column between two rows of dots."""
        for y in range(max(0, top), min(self.height * DOT_ROWS - 1, bottom) + 1):
            self.dot(x, y)

    def text(self, row: int) -> str:
        """Return one row as characters; cells without a dot are spaces."""
        return "".join(chr(0x2800 + cell) if cell else " " for cell in self.cells[row])
