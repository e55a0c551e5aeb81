"""A few words for whoever is here for the first time; gone with the first key."""

from __future__ import annotations

from collections.abc import Sequence

from tui.widgets.painted import Painted, Piece

__all__ = ["HintBar"]

_ROWS: tuple[tuple[Piece, ...], ...] = (
    ((" New here? ", "heading"), ("? lists the keys, ctrl+p finds them by name, F2 sets colours.", "bar")),
    ((" The engine is a process of its own: q leaves, and a run goes on.", "bar"),),
)


class HintBar(Painted):
    """Two rows above the footer."""

    DEFAULT_CSS = f"HintBar {{ height: {len(_ROWS)}; dock: bottom; margin-bottom: 1; }}"

    def __init__(self) -> None:
        super().__init__(id="hints")

    def row_ground(self, y: int) -> str:
        """A bar."""
        return "bar"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """The words."""
        return _ROWS[y] if y < len(_ROWS) else ()
