"""Two programs beside each other, with their changes facing each other."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator, Sequence

from tui.model.document import DIFF_LINES, Line, Look, Span, clean_line, coloured_lines, split_lines

__all__ = ["WIDE", "side_by_side_lines"]

WIDE = 140
"""Cells across from which two programs stand beside each other unless a person says otherwise."""
_CONTEXT = 3
_LEAST = 24
"""Cells of a side below which nothing can be read."""


def side_by_side_lines(before: str, after: str, names: Sequence[str], width: int, lexer: str = "python") -> list[Line]:
    """Return what differs between two programs: the old one on the left, the new one on the right.

    Args:
        before: the old program.
        after: the new one.
        names: what stands above each of them.
        width: cells across; a longer line of code takes several rows.
        lexer: Pygments' name of their language; empty for no colours.
    """
    old, new = split_lines(before), split_lines(after)
    if old == new:
        return [(Span("no difference", "dim"),)]
    if len(old) + len(new) > DIFF_LINES:
        return [(Span(f"{len(old):,} and {len(new):,} lines are too many to compare here", "dim"),)]
    digits = len(str(max(len(old), len(new))))
    room = max(_LEAST, (width - 3) // 2) - digits - 3
    left, right = coloured_lines(before, lexer), coloured_lines(after, lexer)
    lines: list[Line] = list(
        _beside([(Span(clean_line(names[0]), "dim"),)], [(Span(clean_line(names[1]), "dim"),)], room + digits + 3)
    )
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        lines.append((Span(f"@@ -{group[0][1] + 1} +{group[0][3] + 1} @@", "hunk"),))
        for kind, first, last, begin, end in group:
            same = kind == "equal"
            for offset in range(max(last - first, end - begin)):
                one, other = first + offset, begin + offset
                lines += _beside(
                    _side(left, one, one < last, digits, room, " " if same else "-", "plain" if same else "removed"),
                    _side(right, other, other < end, digits, room, " " if same else "+", "plain" if same else "added"),
                    room + digits + 3,
                )
    return lines


def _side(lines: list[Line], index: int, there: bool, digits: int, room: int, sign: str, look: Look) -> list[Line]:
    """Return a line of code with its number and sign, as many rows as it needs; none if there is no such line."""
    if not there or index >= len(lines):
        return []
    # What is the same has its colours; what changed has one, which says how.
    line = lines[index] if look == "plain" else (Span("".join(span.text for span in lines[index]), look),)
    head = f"{index + 1:{digits}} {sign} "
    return [
        (Span(" " * len(head) if row else head, "dim" if look == "plain" else look), *part)
        for row, part in enumerate(_rows(line, room))
    ]


def _beside(left: list[Line], right: list[Line], side: int) -> Iterator[Line]:
    for row in range(max(len(left), len(right))):
        one = next(iter(_rows(left[row], side)), ()) if row < len(left) else ()
        other = right[row] if row < len(right) else ()
        padding = " " * (side - sum(_cells(span.text) for span in one))
        yield (*one, Span(f"{padding} │ ", "dim"), *other)


def _rows(line: Line, room: int) -> Iterator[Line]:
    """Yield a line in rows of at most `room` cells; an empty one as one empty row."""
    row: list[Span] = []
    left = room
    for span in line:
        text = span.text
        while text:
            count = _fits(text, left)
            if not count and left == room:
                count = 1  # a sign wider than the row
            if count:
                row.append(Span(text[:count], span.look))
                left -= _cells(text[:count])
                text = text[count:]
            if text:
                yield tuple(row)
                row, left = [], room
    yield tuple(row)


def _fits(text: str, cells: int) -> int:
    """Return how many signs at the start of a text take at most so many cells."""
    if text.isascii():
        return min(len(text), cells)
    taken = 0
    for index, sign in enumerate(text):
        taken += _cells(sign)
        if taken > cells:
            return index
    return len(text)


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)
