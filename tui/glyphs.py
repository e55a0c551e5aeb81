"""ASCII signs for terminals that show no others."""

from __future__ import annotations

__all__ = ["PLAIN"]

_SIGNS = {
    "│": "|", "┃": "|", "─": "-", "▾": "v", "▸": ">", "·": "-", "●": "*", "■": "#", "‖": "=", "✗": "x", "▲": "^",
    "…": "~", "‹": "<", "»": ">", "“": '"', "±": "~", "→": ">", "⏎": "enter", "–": "-", "×": "x",
    "━": "=", "◆": "+", "▶": ">", "←": "<", "↑": "^", "↓": "v", "○": "o", "▯": "_", "”": '"',
}  # fmt: skip


def _dots(cell: int) -> str:
    count = cell.bit_count()
    return "." if count <= 2 else ":" if count <= 5 else "#"


PLAIN: dict[int, str] = {ord(sign): plain for sign, plain in _SIGNS.items()}
"""For `str.translate`: ASCII for the application's signs and for braille, by how full it is. Other letters stay."""
PLAIN.update({0x2800 + cell: _dots(cell) for cell in range(1, 256)})
