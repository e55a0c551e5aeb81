"""Scores over nodes: every node a dot, failures along the bottom, the best so far a line.

The scales move in steps, so that a new node sets one dot and leaves all others where they are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from engine.node import BestStep, Node
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas

__all__ = ["ScorePlot"]

_FEWEST = 40
_HIDDEN_SHARE = 0.05
"""Of the worst scores so many may lie below the plot: one bad program must not flatten all others."""


class ScorePlot:
    """The dots of a plot of a given size.

    Args:
        width: cells across, the axis not counted.
        height: cells down; the last row is for failures.
        maximize: whether a higher score is better; the best is always at the top.
    """

    def __init__(self, width: int, height: int, maximize: bool) -> None:
        self.width = max(1, width)
        self.height = max(2, height)
        self._sign = 1.0 if maximize else -1.0
        self._capacity = _FEWEST
        self._low = 0.0
        self._high = 1.0
        self._scaled_at = 0
        self._sorted: list[float] = []
        self._clear()

    @property
    def top(self) -> float | None:
        """The score at the upper edge, or None without scores."""
        return self._sign * self._high if self._sorted else None

    @property
    def bottom(self) -> float | None:
        """The score at the lower edge, or None without scores."""
        return self._sign * self._low if self._sorted else None

    @property
    def capacity(self) -> int:
        """How many nodes the plot is wide."""
        return self._capacity

    def load(self, nodes: Sequence[Node], steps: Sequence[BestStep]) -> None:
        """Draw everything anew."""
        self._sorted = sorted(self._sign * node.score for node in nodes if node.score is not None)
        self._rescale(len(nodes))
        self._clear()
        self._draw(nodes)
        self._draw_best(steps, len(nodes))

    def update(self, node: Node, nodes: Sequence[Node], steps: Sequence[BestStep], is_new: bool = True) -> None:
        """Draw one node, and the best line up to now.

        Args:
            node: the node.
            nodes: all of them.
            steps: how the best came about.
            is_new: the node's evaluation has just ended; False where only the best line changed.
        """
        if node.score is not None and is_new:
            insort(self._sorted, self._sign * node.score)
        above = self._sorted and self._sorted[-1] > self._high
        if above or len(nodes) > self._capacity or len(self._sorted) >= 2 * self._scaled_at:
            self.load(nodes, steps)
            return
        self._draw([node])
        self._draw_best(steps[-2:], len(nodes))

    def text(self, row: int) -> str:
        """One row of dots as characters, both layers together."""
        dots, best = self.dots.cells[row], self.best.cells[row]
        return "".join(chr(0x2800 + (a | b)) if a | b else " " for a, b in zip(dots, best, strict=True))

    def best_cells(self, row: int) -> bytes:
        """Which cells of a row the best line runs through: not zero."""
        return bytes(self.best.cells[row])

    def _clear(self) -> None:
        self.dots = Canvas(self.width, self.height)
        self.best = Canvas(self.width, self.height)

    def _rescale(self, count: int) -> None:
        self._capacity = _FEWEST
        while self._capacity < count:
            self._capacity = self._capacity * 3 // 2
        self._scaled_at = max(8, len(self._sorted))
        if not self._sorted:
            return
        low, high = self._sorted[int(len(self._sorted) * _HIDDEN_SHARE)], self._sorted[-1]
        span = high - low or abs(high) * 0.01 or 1.0
        self._low, self._high = low - span * 0.05, high + span * 0.1

    def _x(self, node: int) -> int:
        return node * self.width * DOT_COLUMNS // self._capacity

    def _y(self, value: float) -> int:
        rows = (self.height - 1) * DOT_ROWS
        place = (self._high - value) / (self._high - self._low)
        # What lies below is drawn on the lower edge, so that no node is missing.
        return min(rows - 1, max(0, int(place * rows)))

    def _draw(self, nodes: Sequence[Node]) -> None:
        # Many nodes fall on few dots.
        for x, y in {self._place(node) for node in nodes if node.status is not None}:
            self.dots.dot(x, y)

    def _place(self, node: Node) -> tuple[int, int]:
        if node.score is None:
            return self._x(node.id), self.height * DOT_ROWS - 2
        return self._x(node.id), self._y(self._sign * node.score)

    def _draw_best(self, steps: Sequence[BestStep], count: int) -> None:
        previous: int | None = None
        for index, step in enumerate(steps):
            until = steps[index + 1].node if index + 1 < len(steps) else count
            y = self._y(self._sign * step.score)
            start = self._x(step.node)
            if previous is not None:
                self.best.column(start, min(y, previous), max(y, previous))
            for x in range(start, self._x(max(until, step.node)) + 1):
                self.best.dot(x, y)
            previous = y
