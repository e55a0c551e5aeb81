"""Print plain tables: cut to the width of a terminal, whole in files and pipes."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from engine.cli.output import plain
from engine.text import visible

__all__ = ["print_table"]

_GAP = 2
_INDENT = 4
_LEAST_CELLS = 24
"""Cells that the last column keeps before another column is left out for it."""


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = (), wrap: bool = False
) -> None:
    """Print a table; control characters in cells are shown as escapes.

    Args:
        columns: the headings.
        rows: as many cells each.
        spare: columns to leave out, in this order, while the terminal is too narrow.
        wrap: whether to wrap the last column if the terminal is too narrow, below the others if need be; else it
            is cut.
    """
    lines = [[plain(visible(cell)) for cell in row] for row in (columns, *rows)]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
    shown = list(range(len(columns)))
    below = ""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        for index in [columns.index(name) for name in spare]:
            if _room(widths, shown, width) >= min(widths[shown[-1]], _LEAST_CELLS):
                break
            shown.remove(index)
        room = _room(widths, shown, width)
        if wrap and room < min(widths[shown[-1]], _LEAST_CELLS):
            below, room = " " * _INDENT, width - _INDENT
        widths[shown[-1]] = max(8, min(widths[shown[-1]], room))
    for line in lines:
        *cells, last = (line[index] for index in shown)
        start = "".join(set_cell_size(cell, widths[index] + _GAP) for cell, index in zip(cells, shown, strict=False))
        room = widths[shown[-1]]
        ends = textwrap.wrap(last, room) if wrap and cell_len(last) > room else [_cut(last, room)]
        if below:
            print(start.rstrip())
        for number, end in enumerate(ends):
            print(((below or (start if number == 0 else " " * cell_len(start))) + end).rstrip())


def _room(widths: Sequence[int], shown: Sequence[int], width: int) -> int:
    """Return the number of cells left for the last column."""
    return width - sum(widths[index] + _GAP for index in shown[:-1])


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    mark = plain("…")
    return set_cell_size(text, width - len(mark)) + mark
