"""A map of the whole population beside the tree: which part of it is in view, and where the best node is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from textual import events
from textual.message import Message

from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas
from tui.model.run_model import RunModel
from tui.widgets.painted import Painted, Piece

__all__ = ["MiniMap"]

_SAMPLES = 3
"""Nodes that are looked at for a row of dots, of however many stand there: a painting costs the same for any run."""
_EDGE = 2
"""Cells at the left for the signs of the best node and of the cursor."""


class MiniMap(Painted):
    """Rows of the tree as dots, each as far to the right as its node is deep. Only some of many are looked at."""

    class Picked(Message):
        """The user clicked on a place."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._texts: list[tuple[str, str]] = []
        self._best_row: int | None = None
        self._cursor_row = 0
        self._view = range(0)
        self._per_dot = 1.0
        self._deepest = 1
        self._of: RunModel | None = None

    def show(self, model: RunModel, rows: Sequence[int], top: int, seen: int, cursor: int) -> None:
        """Show the population.

        Args:
            model: the run.
            rows: nodes in the order of the tree; a negative number is no node.
            top: the first row in view.
            seen: how many are in view.
            cursor: the row of the cursor.
        """
        if model is not self._of:
            self._of, self._deepest = model, 1
        width, height = max(1, self.size.width - _EDGE), max(1, self.size.height)
        dots = height * DOT_ROWS
        self._per_dot = max(1.0, len(rows) / dots)
        found = [self._sample(model, rows, dot) for dot in range(min(dots, len(rows)))]
        self._deepest = max([self._deepest, *(depth for depths, _ in found for depth in depths)])
        canvas, best = Canvas(width, height), set()
        for dot, (depths, on_best_line) in enumerate(found):
            for depth in depths:
                canvas.dot(depth * (width * DOT_COLUMNS - 1) // self._deepest, dot)
            if on_best_line:
                best.add(dot // DOT_ROWS)
        self._texts = [(canvas.text(row), "best" if row in best else "dim") for row in range(height)]
        self._best_row = None
        if model.state.best is not None:
            # Folded away or filtered out, it is on no row.
            with suppress(ValueError):
                self._best_row = self._row_of(rows.index(model.state.best))
        self.point(top, seen, cursor)

    def point(self, top: int, seen: int, cursor: int) -> None:
        """Show what is in view and where the cursor is; the dots stay."""
        self._view = range(self._row_of(top), self._row_of(max(0, top + seen - 1)) + 1)
        self._cursor_row = self._row_of(cursor)
        self.repaint()

    def _sample(self, model: RunModel, rows: Sequence[int], dot: int) -> tuple[list[int], bool]:
        """Return the depths of some nodes that one row of dots stands for, and whether one is of the best's line."""
        begin, end = int(dot * self._per_dot), min(len(rows), int((dot + 1) * self._per_dot))
        step = max(1, (end - begin) // _SAMPLES)
        nodes = [rows[place] for place in range(begin, end, step)][: _SAMPLES + 1]
        depths = [model.forest.depths[node] for node in nodes if node in model.forest.depths]
        return depths, any(node in model.best_lineage for node in nodes)

    def _row_of(self, place: int) -> int:
        return max(0, int(place / self._per_dot)) // DOT_ROWS

    def row_ground(self, y: int) -> str:
        """Return the look of a bar for what is in view."""
        return "bar" if y in self._view and y < len(self._texts) else "plain"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return a sign, then four rows of dots."""
        if y >= len(self._texts):
            return []
        sign = "▲" if y == self._best_row else "▸" if y == self._cursor_row else " "
        return [(f"{sign:<{_EDGE}}", "best" if sign == "▲" else "plain"), self._texts[y]]

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked place."""
        self.post_message(self.Picked(int((event.y * DOT_ROWS + DOT_ROWS // 2) * self._per_dot)))
