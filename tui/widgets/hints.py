"""A few words for a new user, until the first key."""

from __future__ import annotations

from collections.abc import Sequence

from tui.widgets.painted import Painted, Piece

__all__ = ["HintBar"]

_ROWS: tuple[tuple[Piece, ...], ...] = (
    ((" New here? ", "heading"), ("? lists the keys, ctrl+p finds them by name, F2 sets colours.", "bar")),
    ((" The engine is a separate process: q leaves, and the run goes on.", "bar"),),
)


class HintBar(Painted):
    """Two rows above the footer."""

    DEFAULT_CSS = f"HintBar {{ height: {len(_ROWS)}; dock: bottom; margin-bottom: 1; }}"

    def __init__(self) -> None:
        super().__init__(id="hints")

    def row_ground(self, y: int) -> str:
        """Return the look of a bar."""
        return "bar"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the words."""
        return _ROWS[y] if y < len(_ROWS) else ()
