"""A picture of what a screen shows, as a small SVG: Textual's own export, less what repeats on every line."""

from __future__ import annotations

import html
import re
from pathlib import Path

from tui.textual_app import EvolveApp

__all__ = ["cleaned", "save_picture"]

_TEXT = re.compile(r'<text class="(\w+)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)">([^<]*)</text>')
_CELL = 12.2
"""Width of a cell in the export."""


def save_picture(app: EvolveApp, path: Path) -> None:
    """Write what the screen shows now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cleaned(app.export_screenshot()), "utf-8")


def cleaned(svg: str) -> str:
    """Return an export with the same picture in about half as many bytes.

    Fonts would be loaded from elsewhere: a reader's own will do. Clip paths and long names repeat for every line, and
    blanks at the ends of a text are a matter of its place.
    """
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<clipPath id="[^"]*-line-\d+">.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#[^)]*-line-\d+\)"', "", svg)
    svg = re.sub(r"terminal-\d+-", "", svg)
    return _TEXT.sub(_trimmed, svg)


def _trimmed(found: re.Match[str]) -> str:
    look, x, y, _, escaped = found.groups()
    text = html.unescape(escaped)
    shown = text.strip("\N{NO-BREAK SPACE} ")
    if not shown:
        return ""
    start = float(x) + _CELL * _cells(text[: text.index(shown)])
    return (
        f'<text class="{look}" x="{start:.5g}" y="{y}" textLength="{_CELL * _cells(shown):.5g}">'
        f"{html.escape(shown, quote=False)}</text>"
    )


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
