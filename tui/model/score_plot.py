"""A plot of fitness or score over nodes: each node a dot, unranked ones along the bottom, the best so far a line.

The scales move in steps, so that a new node sets one dot and leaves all others where they are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from engine.state.node import BestStep, Node
from engine.state.ranking import Ranked, Ranking
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas

__all__ = ["ScorePlot"]

_FEWEST = 40
_HIDDEN_SHARE = 0.05
"""Share of the worst values that may lie below the plot: one bad program must not flatten all others."""


class ScorePlot:
    """The dots of a plot of one size.

    Args:
        width: cells across, without the axis.
        height: cells down; the last row is for unranked nodes.
        ranking: gives the value of a node; the best is always at the top.
    """

    def __init__(self, width: int, height: int, ranking: Ranking) -> None:
        self.width = max(1, width)
        self.height = max(2, height)
        self._ranking = ranking
        self._sign = 1.0 if ranking.maximize else -1.0
        self._capacity = _FEWEST
        self._low = 0.0
        self._high = 1.0
        self._scaled_at = 0
        self._sorted: list[float] = []
        self._clear()

    @property
    def top(self) -> float | None:
        """The value at the upper edge, or None if no node is ranked."""
        return self._sign * self._high if self._sorted else None

    @property
    def bottom(self) -> float | None:
        """The value at the lower edge, or None if no node is ranked."""
        return self._sign * self._low if self._sorted else None

    @property
    def capacity(self) -> int:
        """The number of nodes that fit across the plot."""
        return self._capacity

    def load(self, nodes: Sequence[Node], steps: Sequence[BestStep]) -> None:
        """Draw all nodes anew."""
        self._sorted = sorted(value for node in nodes if (value := self._value(node)) is not None)
        self._rescale(len(nodes))
        self._clear()
        self._draw(nodes)
        self._draw_best(steps, len(nodes))

    def update(self, node: Node, nodes: Sequence[Node], steps: Sequence[BestStep], is_new: bool = True) -> None:
        """Draw one node, and the best line up to now.

        Args:
            node: the node.
            nodes: all of them.
            steps: the improvements of the best.
            is_new: whether the node's evaluation has just ended; False if only the best line changed.
        """
        value = self._value(node) if is_new else None
        if value is not None:
            insort(self._sorted, value)
        above = self._sorted and self._sorted[-1] > self._high
        if above or len(nodes) > self._capacity or len(self._sorted) >= 2 * self._scaled_at:
            self.load(nodes, steps)
            return
        self._draw([node])
        if is_new:
            self._draw_best(steps[-2:], len(nodes))
        else:
            # With several workers the new best may be an older node than the newest: its old level is drawn beyond it.
            self.best = Canvas(self.width, self.height)
            self._draw_best(steps, len(nodes))

    def text(self, row: int) -> str:
        """Return one row of dots as characters, both layers together."""
        dots, best = self.dots.cells[row], self.best.cells[row]
        return "".join(chr(0x2800 + (a | b)) if a | b else " " for a, b in zip(dots, best, strict=True))

    def best_cells(self, row: int) -> bytes:
        """Return for each cell of a row whether the best line runs through it: not zero."""
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

    def _value(self, item: Ranked) -> float | None:
        """Return the value to draw, higher at the top."""
        value = self._ranking.of(item)
        return None if value is None else self._sign * value

    def _x(self, node: int) -> int:
        return node * self.width * DOT_COLUMNS // self._capacity

    def _y(self, value: float) -> int:
        rows = (self.height - 1) * DOT_ROWS
        place = (self._high - value) / (self._high - self._low)
        # Values below the plot are drawn on the lower edge, so that no node is missing.
        return min(rows - 1, max(0, int(place * rows)))

    def _draw(self, nodes: Sequence[Node]) -> None:
        # Many nodes share few dots.
        for x, y in {self._place(node) for node in nodes if node.status is not None}:
            self.dots.dot(x, y)

    def _place(self, node: Node) -> tuple[int, int]:
        value = self._value(node)
        return self._x(node.id), self.height * DOT_ROWS - 2 if value is None else self._y(value)

    def _draw_best(self, steps: Sequence[BestStep], count: int) -> None:
        previous: int | None = None
        for index, step in enumerate(steps):
            value = self._value(step)
            if value is None:
                # Under other weights, set later, the node is unranked.
                previous = None
                continue
            until = steps[index + 1].node if index + 1 < len(steps) else count
            y = self._y(value)
            start = self._x(step.node)
            if previous is not None:
                self.best.column(start, min(y, previous), max(y, previous))
            for x in range(start, self._x(max(until, step.node)) + 1):
                self.best.dot(x, y)
            previous = y
