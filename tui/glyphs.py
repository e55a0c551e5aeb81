"""Signs for terminals that show no others: tmux started without UTF-8 writes `_` for each, and says so if asked."""

from __future__ import annotations

import os
import subprocess

__all__ = ["PLAIN", "needs_plain"]

_ASK_SECONDS = 1.0

_SIGNS = {
    "│": "|", "┃": "|", "─": "-", "▾": "v", "▸": ">", "·": "-", "●": "*", "■": "#", "‖": "=", "✗": "x", "▲": "^",
    "…": "~", "‹": "<", "»": ">", "“": '"', "±": "~", "→": ">", "⏎": "enter", "–": "-", "×": "x",
    "━": "=", "▶": ">",
}  # fmt: skip


def _dots(cell: int) -> str:
    count = cell.bit_count()
    return "." if count <= 2 else ":" if count <= 5 else "#"


PLAIN: dict[int, str] = {ord(sign): plain for sign, plain in _SIGNS.items()}
"""For `str.translate`: our own signs, and braille by how full it is. Other people's letters stay."""
PLAIN.update({0x2800 + cell: _dots(cell) for cell in range(1, 256)})


def needs_plain(wanted: str) -> bool:
    """Whether to draw with ASCII signs only.

    A locale tells little: over ssh it is often `C` although the terminal shows everything. tmux knows its client.

    Args:
        wanted: `unicode` or `ascii`, or `auto` to find out.
    """
    if wanted != "auto":
        return wanted == "ascii"
    if not os.environ.get("TMUX"):
        return False
    try:
        answer = subprocess.run(
            ["tmux", "display-message", "-p", "#{client_utf8}"],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.strip() == "0"
