"""Text for a screen: lines of spans, without control characters, each line of bounded length."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from engine.text import visible
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas

__all__ = [
    "DIFF_LINES",
    "Line",
    "Look",
    "Span",
    "clean_line",
    "code_lines",
    "coloured_lines",
    "curve_lines",
    "diff_lines",
    "lexer_of",
    "prose_lines",
    "split_lines",
    "table_lines",
    "text_lines",
]

Look = Literal[
    "plain", "dim", "heading", "accent", "ok", "bad", "best", "added", "removed", "hunk", "keyword", "string",
    "comment", "number",
]  # fmt: skip
"""The looks of a span, to which a theme gives colours."""


class Span(NamedTuple):
    """A piece of a line with one look."""

    text: str
    look: Look = "plain"


Line = tuple[Span, ...]

_LONGEST = 2000
"""The most characters of a line to show; a hostile line may be a megabyte long."""
_MOST_LINES = 50_000
_HIGHLIGHT_BYTES = 200_000
DIFF_LINES = 20_000
"""Lines of two texts together beyond which they are not compared."""


def clean_line(text: str) -> str:
    """Return a line without control characters, of bounded length, with tabs as spaces."""
    left_out = len(text) - _LONGEST
    shown = visible(text[:_LONGEST]).expandtabs(4)
    return f"{shown} … and {left_out:,} more characters" if left_out > 0 else shown


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, without an empty last one."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def text_lines(text: str, look: Look = "plain") -> list[Line]:
    """Return plain text as lines."""
    lines = split_lines(text)
    shown: list[Line] = [(Span(clean_line(line), look),) for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        shown.append((Span(f"… and {len(lines) - _MOST_LINES:,} more lines", "dim"),))
    return shown


def prose_lines(text: str, width: int, look: Look = "plain") -> list[Line]:
    """Return plain text with long lines broken between words; leave tables unchanged."""
    lines: list[Line] = []
    for line in split_lines(text)[:_MOST_LINES]:
        shown = clean_line(line)
        if len(shown) <= width or shown.lstrip().startswith("|"):
            lines.append((Span(shown, look),))
            continue
        indent = " " * min(len(shown) - len(shown.lstrip()), width // 2)
        broken = textwrap.wrap(shown, width, subsequent_indent=indent, break_on_hyphens=False, replace_whitespace=False)
        lines += [(Span(part, look),) for part in broken]
    return lines + text_lines(text, look)[_MOST_LINES:]


def code_lines(code: str, lexer: str = "python") -> list[Line]:
    """Return code with syntax colours and line numbers.

    Args:
        code: the code.
        lexer: Pygments' name of its language; empty for no colours.
    """
    body = coloured_lines(code, lexer)
    width = len(str(len(body)))
    return [(Span(f"{number:{width}} ", "dim"), *line) for number, line in enumerate(body, 1)]


def coloured_lines(code: str, lexer: str) -> list[Line]:
    """Return code with syntax colours, if there are any for it and it is not too long."""
    if not lexer or len(code) > _HIGHLIGHT_BYTES or any(len(line) > _LONGEST for line in split_lines(code)):
        return text_lines(code)
    return _highlight(visible(code).expandtabs(4), lexer)


def lexer_of(path: str, lexer: str) -> str:
    """Return Pygments' name of the language of a file; the given one if its suffix tells none."""
    from pygments.lexers import find_lexer_class_for_filename  # type: ignore[import-untyped]

    found = find_lexer_class_for_filename(path)
    return found.aliases[0] if found is not None and found.aliases else lexer


def _highlight(code: str, lexer: str) -> list[Line]:
    from pygments.lexers import get_lexer_by_name
    from pygments.token import Token  # type: ignore[import-untyped]

    def look_of(token: Any) -> Look:
        if token in Token.Comment:
            return "comment"
        if token in Token.Literal.String:
            return "string"
        if token in Token.Literal.Number:
            return "number"
        if token in Token.Keyword or token in Token.Operator.Word:
            return "keyword"
        return "heading" if token in Token.Name.Function or token in Token.Name.Class else "plain"

    lines: list[Line] = []
    spans: list[Span] = []
    for token, text in get_lexer_by_name(lexer, stripnl=False, ensurenl=False).get_tokens(code):
        look = look_of(token)
        for index, piece in enumerate(text.split("\n")):
            if index:
                lines.append(tuple(spans))
                spans = []
            if piece:
                if spans and spans[-1].look == look:
                    spans[-1] = Span(spans[-1].text + piece, look)
                else:
                    spans.append(Span(piece, look))
    if spans:
        lines.append(tuple(spans))
    return lines


def diff_lines(before: str, after: str, before_name: str, after_name: str) -> list[Line]:
    """Return a unified diff of two programs."""
    old, new = split_lines(before), split_lines(after)
    if old == new:
        return [(Span("no difference", "dim"),)]
    if len(old) + len(new) > DIFF_LINES:
        return [(Span(f"{len(old):,} and {len(new):,} lines are too many to compare here", "dim"),)]
    looks: dict[str, Look] = {"+": "added", "-": "removed", "@": "hunk"}
    lines: list[Line] = [
        (Span(f"--- {clean_line(before_name)}", "dim"),),
        (Span(f"+++ {clean_line(after_name)}", "dim"),),
    ]
    for number, line in enumerate(difflib.unified_diff(old, new, lineterm="", n=3)):
        # The first two lines are difflib's own header, without names.
        if number >= 2:
            lines.append((Span(clean_line(line), looks.get(line[:1], "plain")),))
    return lines


_FIRST = 60
"""The most cells of the first column of a table."""


def table_lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None, least: Sequence[str] = ()
) -> list[Line]:
    """Return a table with columns as wide as their widest cell; align the first left, the others right.

    Args:
        head: the names of the columns.
        rows: their cells.
        width: cells across; columns that do not fit are left out. None: as wide as it is.
        least: the columns to leave out, the least wanted first; one without any cell goes before all.
    """
    cells = [[clean_line(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [
        max([len(title), *(min(40 if index else _FIRST, len(row[index])) for row in cells)])
        for index, title in enumerate(head)
    ]
    kept = list(range(len(head)))
    empty = [index for index in kept[1:] if not any(row[index] for row in cells)]
    for index in (*empty, *(head.index(name) for name in least)):
        if width is not None and sum(widths[one] + 2 for one in kept) - 2 > width and index in kept:
            kept.remove(index)

    def drawn(row: Sequence[str]) -> str:
        first = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
        return "  ".join([first.ljust(widths[0]), *(row[index].rjust(widths[index]) for index in kept[1:])])

    return [(Span(drawn(head), "dim"),), *((Span(drawn(row)),) for row in cells)]


def curve_lines(points: Sequence[tuple[float | None, dict[str, float]]], width: int, height: int) -> list[Line]:
    """Return the progress that an evaluator reported, one small plot for each value."""
    names = list(dict.fromkeys(name for _, values in points for name in values))
    lines: list[Line] = []
    for name in names[:6]:
        series = [
            (index if step is None else step, values[name])
            for index, (step, values) in enumerate(points)
            if name in values
        ]
        finite = [(x, y) for x, y in series if abs(y) < float("inf") and abs(x) < float("inf")]
        if len(finite) < 2:
            continue
        lines += _plot(clean_line(name), finite, width, height)
    if len(names) > 6:
        lines.append((Span(f"… and {len(names) - 6} more values", "dim"),))
    return lines


def _plot(name: str, series: list[tuple[float, float]], width: int, height: int) -> list[Line]:
    xs, ys = [x for x, _ in series], [y for _, y in series]
    low, high = min(ys), max(ys)
    canvas = Canvas(width, height)
    for x, y in series:
        column = (x - min(xs)) / ((max(xs) - min(xs)) or 1) * (width * DOT_COLUMNS - 1)
        row = (high - y) / ((high - low) or 1) * (height * DOT_ROWS - 1)
        canvas.dot(int(column), int(row))
    lines: list[Line] = [
        (Span(f"{name}  ", "heading"), Span(f"{ys[0]:.6g} → {ys[-1]:.6g} over {len(series)} points", "dim"))
    ]
    for index in range(height):
        label = f"{high:.4g}" if index == 0 else f"{low:.4g}" if index == height - 1 else ""
        lines.append((Span(f"{label:>10} │", "dim"), Span(canvas.text(index), "accent")))
    return [*lines, ()]
