"""A plot of one quantity of nodes along an axis: each node a dot, those without a value along the bottom.

The scales move in steps, so that a new node sets one dot and leaves all others where they are.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Sequence
from typing import Literal

from engine.state.node import BestStep, FrontStep, Node
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas
from tui.model.quantities import Quantity

__all__ = ["Improvement", "Plot", "Scale", "ticks"]

Scale = Literal["auto", "linear", "log"]

_FEWEST = 40.0
_HIDDEN_SHARE = 0.05
"""Share of the worst values that may lie below the plot: one bad program must not flatten all others."""
_LOG_FROM = 20.0
"""Ratio of the largest to the smallest value from which on `auto` takes a logarithmic scale."""


Improvement = BestStep | FrontStep
"""What a line over the dots is drawn through: a new best, or a rise of the hypervolume."""


class Plot:
    """The dots of a plot of one size.

    Args:
        width: cells across, without the axis.
        height: cells down; the last row is for nodes without a value.
        quantity: what to draw upwards; the better values are always at the top.
        place: return the place of a node across; None if it has none.
        scale: the scale of the values.
        ends: whether no node will come: the plot then ends where the data end.
        window: the first and last place to show; None shows all.
        line: return the value of an improvement; None draws no line of them.
        anywhere: whether places may begin and end anywhere, not at 0, as those of an objective do.
        mark: a value that a dotted line shows, if it lies near the others, such as the best that is known.
    """

    def __init__(
        self,
        width: int,
        height: int,
        quantity: Quantity,
        place: Callable[[Node], float | None],
        scale: Scale = "auto",
        ends: bool = False,
        window: tuple[float, float] | None = None,
        line: Callable[[Improvement], float | None] | None = None,
        mark: float | None = None,
        anywhere: bool = False,
    ) -> None:
        self.width = max(1, width)
        self.height = max(2, height)
        self._quantity = quantity
        self._read_place = place
        self._scale = scale
        self._ends = ends
        self._window = window
        self._line = line
        self._mark = mark
        self._anywhere = anywhere
        self._sign = -1.0 if quantity.better == "lower" else 1.0
        self.log = False
        """Whether the values are drawn on a logarithmic scale."""
        self.left, self.right = 0.0, _FEWEST
        """The places at the edges."""
        self.start = 0.0
        """Where the axis begins."""
        self.extent = 0.0
        """The last place that any node has."""
        self._low, self._high = 0.0, 1.0
        self._scaled_at = 0
        self._sorted: list[float] = []
        self._drawn: set[int] = set()
        self._clear()

    @property
    def top(self) -> float | None:
        """The value at the upper edge, or None if no node has one."""
        return self._value_of(self._high) if self._sorted else None

    @property
    def bottom(self) -> float | None:
        """The value at the lower edge, or None if no node has one."""
        return self._value_of(self._low) if self._sorted else None

    def load(self, nodes: Sequence[Node], steps: Sequence[Improvement]) -> None:
        """Draw all nodes anew."""
        measured = [node for node in nodes if node.status is not None]
        places = [place for node in measured if (place := self._read_place(node)) is not None]
        self.extent = max(places, default=0.0)
        self.start = min(places, default=0.0) if self._anywhere else 0.0
        self._set_width()
        self._set_height(measured, steps)
        self._clear()
        self._drawn = {node.id for node in measured}
        self._draw(measured)
        self._draw_mark()
        self._draw_line(nodes, steps)

    def update(self, node: Node, nodes: Sequence[Node], steps: Sequence[Improvement], is_new: bool = True) -> None:
        """Draw one node, and the line of the best up to now.

        Args:
            node: the node.
            nodes: all of them.
            steps: the improvements of the best.
            is_new: whether the node's evaluation has just ended; False if only the line changed.
        """
        if is_new and node.id in self._drawn:
            # It was measured again: its old dot, which others may share, goes only with all.
            self.load(nodes, steps)
            return
        value, place = self._quantity.read(node), self._read_place(node)
        if is_new:
            self._drawn.add(node.id)
            self.extent = max(self.extent, place or 0.0)
        leaves = self._holds(place) and (self._leaves(value) or self._leaves(self._end_of_line(steps)))
        if is_new and value is not None and self._holds(place):
            insort(self._sorted, self._sign * value)
        beyond = self._window is None and place is not None and not self.start <= place <= self.right
        if beyond or leaves or len(self._sorted) >= 2 * self._scaled_at:
            self.load(nodes, steps)
            return
        if is_new:
            self._draw([node])
        self.best = Canvas(self.width, self.height)
        self._draw_line(nodes, steps)

    def text(self, row: int) -> str:
        """Return one row of dots as characters, both layers together."""
        dots, best = self.dots.cells[row], self.best.cells[row]
        return "".join(chr(0x2800 + (a | b)) if a | b else " " for a, b in zip(dots, best, strict=True))

    def best_cells(self, row: int) -> bytes:
        """Return for each cell of a row whether the line of the best runs through it: not zero."""
        return bytes(self.best.cells[row])

    def cell_of(self, node: Node) -> tuple[int, int] | None:
        """Return column and row of a node's cell; None if it is not drawn."""
        found = self._dot_of(node) if node.status is not None else None
        if found is None or not 0 <= found[0] < self.width * DOT_COLUMNS:
            return None
        return found[0] // DOT_COLUMNS, found[1] // DOT_ROWS

    def column_of(self, place: float) -> int | None:
        """Return the column of a place, None if it is outside."""
        column = int(self._x(place)) // DOT_COLUMNS
        return column if 0 <= column < self.width else None

    def place_at(self, column: int) -> float:
        """Return the place in the middle of a column."""
        return self.left + (column + 0.5) / self.width * (self.right - self.left)

    # Scales

    def _set_width(self) -> None:
        if self._window is not None:
            self.left, self.right = self._window
            return
        self.left = self.start
        if self._anywhere:
            # Room at both ends, so that few nodes move the edges.
            margin = (self.extent - self.start) * 0.05 or abs(self.extent) * 0.05 or 1.0
            self.left, self.right = self.start - margin, self.extent + margin
            return
        if self._ends:
            self.right = self.extent or 1.0
            return
        self.right = _FEWEST
        while self.right < self.extent:
            self.right *= 1.5

    def _end_of_line(self, steps: Sequence[Improvement]) -> float | None:
        """Return the value at the end of the line, which a hypervolume has above all dots."""
        return self._line(steps[-1]) if self._line is not None and steps else None

    def _set_height(self, measured: Sequence[Node], steps: Sequence[Improvement]) -> None:
        held = (node for node in measured if self._holds(self._read_place(node)))
        self._sorted = sorted(self._sign * value for node in held if (value := self._quantity.read(node)) is not None)
        self._scaled_at = max(8, len(self._sorted))
        if not self._sorted:
            return
        hidden = int(len(self._sorted) * _HIDDEN_SHARE) if self._quantity.better else 0
        worst, best = self._sign * self._sorted[hidden], self._sign * self._sorted[-1]
        end = self._end_of_line(steps)
        best = best if end is None else self._sign * max(self._sign * best, self._sign * end)
        least, most = sorted((worst, best))
        self.log = least > 0 and (self._scale == "log" or (self._scale == "auto" and most >= _LOG_FROM * least))
        low, high = sorted((self._level(worst), self._level(best)))
        span = high - low or abs(high) * 0.01 or 1.0
        self._low, self._high = low - span * 0.05, high + span * 0.1
        if self._mark is not None and high < self._level(self._mark) <= high + 2 * span:
            self._high = max(self._high, self._level(self._mark) + span * 0.02)
        if not self.log:
            # No edge lies beyond 0 if no value does: there is no error below none.
            self._low = max(0.0, self._low) if low >= 0 else self._low
            self._high = min(0.0, self._high) if high <= 0 else self._high

    def _level(self, value: float) -> float:
        """Return the height of a value, higher at the top."""
        if self.log:
            return self._sign * math.log10(value) if value > 0 else -math.inf * self._sign
        return self._sign * value

    def _value_of(self, level: float) -> float:
        value = self._sign * level
        return 10.0**value if self.log else value

    def _holds(self, place: float | None) -> bool:
        return place is not None and (self._window is None or self.left <= place <= self.right)

    def _leaves(self, value: float | None) -> bool:
        """Return whether a value lies above the plot."""
        return value is not None and (self._level(value) > self._high or not self._sorted)

    # Dots

    def _clear(self) -> None:
        self.dots = Canvas(self.width, self.height)
        self.best = Canvas(self.width, self.height)

    def _x(self, place: float) -> float:
        # The last place takes the last column: a node lies between its place and the next.
        return (place - self.left) / ((self.right - self.left) or 1.0) * (self.width * DOT_COLUMNS - 1)

    def _y(self, value: float) -> int:
        rows = (self.height - 1) * DOT_ROWS
        share = (self._high - self._level(value)) / (self._high - self._low or 1.0)
        # Values below the plot are drawn on the lower edge, so that no node is missing.
        return int(min(rows - 1.0, max(0.0, share * rows)))

    def _dot_of(self, node: Node) -> tuple[int, int] | None:
        place, value = self._read_place(node), self._quantity.read(node)
        if place is None:
            return None
        return math.floor(self._x(place)), self.height * DOT_ROWS - 2 if value is None else self._y(value)

    def _draw(self, nodes: Sequence[Node]) -> None:
        # Many nodes share few dots.
        for x, y in {dot for node in nodes if (dot := self._dot_of(node)) is not None}:
            self.dots.dot(x, y)
        if self._quantity.id in ("rank", "score"):
            self._draw_bands(nodes)

    def _draw_mark(self) -> None:
        """Draw the marked value as a dotted line, if it lies in the plot."""
        if self._mark is not None and self._sorted and self._low <= self._level(self._mark) <= self._high:
            for x in range(0, self.width * DOT_COLUMNS, 4):
                self.dots.dot(x, self._y(self._mark))

    def _draw_bands(self, nodes: Sequence[Node]) -> None:
        """Draw the spread of nodes that were measured several times, if fitness does not hide it."""
        for node in nodes:
            value, place = self._quantity.read(node), self._read_place(node)
            if node.spread and value is not None and value == node.score and place is not None:
                ends = sorted((self._y(value - node.spread), self._y(value + node.spread)))
                self.dots.column(math.floor(self._x(place)), *ends)

    def _draw_line(self, nodes: Sequence[Node], steps: Sequence[Improvement]) -> None:
        if self._line is None:
            return
        previous: int | None = None
        for index, step in enumerate(steps):
            value, place = self._line(step), self._read_place(nodes[step.node])
            if value is None or place is None:
                # Under other weights, set later, the node is unranked.
                previous = None
                continue
            after = self._read_place(nodes[steps[index + 1].node]) if index + 1 < len(steps) else self.extent
            y, start = self._y(value), math.floor(self._x(place))
            until = min(self.width * DOT_COLUMNS - 1, math.floor(self._x(max(place, after or place))))
            if previous is not None:
                self.best.column(start, min(y, previous), max(y, previous))
            for x in range(max(0, start), until + 1):
                self.best.dot(x, y)
            previous = y


def ticks(left: float, right: float, width: int) -> list[tuple[int, str]]:
    """Return columns and labels of round numbers along an axis of some cells, at most one in ten cells."""
    span = right - left
    if span <= 0 or width < 4:
        return []
    least = span * 11 / width
    step = next(
        base * 10.0**power
        for power in range(math.floor(math.log10(least)), 400)
        for base in (1, 2, 5)
        if base * 10.0**power >= least
    )
    found: list[tuple[int, str]] = []
    number = math.ceil(left / step - 1e-9)
    while number * step <= right * (1 + 1e-12):
        value = number * step
        found.append((min(width - 1, int((value - left) / span * width)), f"{value:,.10g}"))
        number += 1
    return found
