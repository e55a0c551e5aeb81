"""The panel of plots: any number of nodes along any axis, with one cursor, which is the tree's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.journal.events import BestCrowned, EvalDone
from engine.state.node import Node
from engine.state.run_state import RunState
from tui.layout import PlotChoice
from tui.model.labels import short_score
from tui.model.plot import Plot, Scale, ticks
from tui.model.plot_line import has_line, height_of, improvements, line_told
from tui.model.quantities import AXES, Axis, Quantity, axis_name, axis_value, find_quantity, quantities
from tui.model.run_model import RunModel
from tui.session import ModelChange
from tui.widgets.painted import Piece
from tui.widgets.panel import Panel

__all__ = ["PlotPanel"]

_AXIS = 10
"""Cells of the labels at the left, the line included."""
_MOST = 3
"""The most plots below each other."""
_AXES: tuple[Axis, ...] = ("node", "round", "seconds", "usd", "tokens")
_OF_A_FRONT: tuple[Axis, ...] = ("objective",)
_SCALES: tuple[Scale, ...] = ("auto", "linear", "log")
_LEAST_ROWS = 7
"""Rows from which on a plot has an axis below it."""


def _known(state: RunState, quantity: Quantity) -> float | None:
    """Return the best value that is known of a quantity: scores have one if the task has a record."""
    record = state.spec.record
    is_score = quantity.id == "score" or (quantity.id == "rank" and not state.ranking.by_fitness)
    return record.value if record is not None and is_score else None


def _hidden(keys: str, action: str, id_: str, about: str, display: str | None = None) -> Binding:
    """Return a binding that only help and palette list."""
    return Binding(keys, action, about, id=id_, show=False, key_display=display, tooltip=about)


class PlotPanel(Panel):
    """Plots below each other; they share the cursor, each has its own quantity, axis, scale and part."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "measure(1)", "Measure", id="plot.measure", tooltip="Plot the next quantity, as a metric"),
        _hidden("M", "measure(-1)", "plot.measure_before", "Plot the quantity before"),
        Binding("a", "axis", "Axis", id="plot.axis", tooltip="Along nodes, rounds, engine time, money, an objective"),
        Binding("l", "scale", "Log", id="plot.scale", tooltip="A scale that fits, a linear or a logarithmic one"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", id="plot.zoom", key_display="+", tooltip="Zoom in"),
        _hidden("minus", "zoom(2)", "plot.zoom_out", "Zoom out", "-"),
        _hidden("0", "all", "plot.all", "Show the whole axis"),
        _hidden("less_than_sign", "pan(-1)", "plot.left", "Show an earlier part", "<"),
        _hidden("greater_than_sign", "pan(1)", "plot.right", "Show a later part", ">"),
        _hidden("right", "step(1)", "plot.next", "Go to the next node along the axis"),
        _hidden("left", "step(-1)", "plot.before", "Go to the node before along the axis"),
        _hidden("shift+right,L", "leap(1)", "plot.leap", "Go a tenth of the axis further"),
        _hidden("shift+left,H", "leap(-1)", "plot.leap_back", "Go a tenth of the axis back"),
        _hidden("b", "best", "plot.best", "Go to the best node"),
        Binding("enter", "open", "Open", id="plot.open", tooltip="Open the node under the cursor"),
        _hidden("A", "add", "plot.add", "Add a plot below; at most three"),
        _hidden("D", "drop", "plot.drop", "Drop the plot that the keys act on"),
        _hidden("down,up", "turn", "plot.turn", "Act on another of the plots"),
    ]  # fmt: skip

    class Picked(Message):
        """The cursor went to a node."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    class Opened(Message):
        """The user wants to open a node."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    class Arranged(Message):
        """The user chose what is plotted."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.choices = [PlotChoice()]
        """What each plot shows; assign it before the run is read."""
        self._model: RunModel | None = None
        self._plots: list[tuple[Quantity, Plot]] = []
        self._windows: list[tuple[float, float] | None] = [None]
        self._current = 0
        self._rankings = 0
        self._ends = False
        self._node: int | None = None
        self._height = 0
        """Rows that the plots were drawn for: a frame may come before the word of a new size."""

    # Taking in

    def take(self, change: ModelChange, model: RunModel) -> None:
        """Draw changes into the plots' dots, without painting."""
        ends = model.state.status in ("finished", "stopped", "failed")
        if change.reset or model is not self._model or self._rankings != model.state.rankings or ends != self._ends:
            self._model = model
            self._load()
            return
        state = model.state
        for event in change.events:
            if isinstance(event.data, EvalDone | BestCrowned) and event.node is not None:
                node = state.nodes[event.node]
                for (quantity, plot), choice in zip(self._plots, self.choices, strict=False):
                    steps = improvements(model, quantity, self._axis(choice))
                    plot.update(node, state.nodes, steps, isinstance(event.data, EvalDone))

    def point(self, node: int | None) -> None:
        """Put the cursor on a node."""
        if node != self._node:
            self._node = node
            self.repaint()

    def on_resize(self) -> None:
        """Draw the plots for the new size."""
        self._load()
        self.repaint_all()

    def _load(self) -> None:
        self._plots = []
        self._height = self.size.height
        self._windows += [None] * (len(self.choices) - len(self._windows))
        model = self._model
        if model is None:
            return
        self._rankings = model.state.rankings
        self._ends = model.state.status in ("finished", "stopped", "failed")
        if self.size.height < 3 * len(self.choices) or self.size.width < _AXIS + 8:
            return
        for index, choice in enumerate(self.choices):
            quantity, axis = find_quantity(model, choice.measure), self._axis(choice)
            line = partial(height_of, model) if has_line(model, quantity, axis) else None
            plot = Plot(
                self.size.width - _AXIS - 1, self._rows(index), quantity,
                lambda node, axis=axis: axis_value(model, axis, node),  # type: ignore[misc]
                choice.scale, self._ends, self._windows[index], line, _known(model.state, quantity),
                anywhere=axis == "objective",
            )  # fmt: skip
            plot.load(model.state.nodes, improvements(model, quantity, axis))
            self._plots.append((quantity, plot))

    def _share(self, index: int) -> tuple[int, int]:
        """Return the first row of a plot, its title, and the row after it."""
        count, height = len(self.choices), self._height
        return index * height // count, (index + 1) * height // count

    def _rows(self, index: int) -> int:
        first, end = self._share(index)
        return end - first - 1 - (end - first >= _LEAST_ROWS)

    # Drawing

    def row_ground(self, y: int) -> str:
        """Return the look of a bar for the title of the plot that gets the keys."""
        return "bar" if self.has_focus and y == self._share(self._current)[0] else "plain"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return a title, the dots behind their axis, or the axis below them."""
        index = next((n for n in range(len(self.choices)) if self._share(n)[0] <= y < self._share(n)[1]), None)
        if index is None or index >= len(self._plots) or self._model is None:
            name = self._model.state.ranking.name if self._model is not None else "score"
            return [(f" {name[:30]}", "heading")] if y == 0 else []
        quantity, plot = self._plots[index]
        row = y - self._share(index)[0] - 1
        if row < 0:
            return self._title(index)
        if row >= plot.height:
            return self._axis_row(index) if row == plot.height and plot.height + 2 >= _LEAST_ROWS else []
        if plot.top is None and (row == 0 or not self._model.state.counts):
            waits = _awaited_score(self._model.state) if quantity.id == "rank" else f"no node has {quantity.label}"
            return [(f" {waits}", "dim")] if row == 0 else []
        value = {0: plot.top, plot.height - 2: plot.bottom}.get(row)
        last = row == plot.height - 1
        label = self._lowest(quantity) if last else short_score(value) if value is not None else ""
        return [(f"{label:>{_AXIS - 1}} │", "dim"), *self._dots(plot, row, "bad" if last else "plain")]

    def _lowest(self, quantity: Quantity) -> str:
        assert self._model is not None
        if quantity.id != "rank":
            return "none"
        return "unranked" if self._model.state.ranking.by_fitness else "failed"

    def _dots(self, plot: Plot, row: int, look: str) -> list[Piece]:
        node = self._pointed
        cell = plot.cell_of(node) if node is not None else None
        cursor = cell[0] if cell is not None and cell[1] == row else -1
        return _runs(plot.text(row), plot.best_cells(row), look, cursor)

    @property
    def _pointed(self) -> Node | None:
        return self._model.node(self._node) if self._model is not None and self._node is not None else None

    def _title(self, index: int) -> Sequence[Piece]:
        quantity, plot = self._plots[index]
        choice, window = self.choices[index], self._windows[index]
        assert self._model is not None
        axis = self._axis(choice)
        by = f" by {axis_name(self._model, axis)}"
        if window is not None:
            by += f" {window[0]:,.4g}–{window[1]:,.4g}"
        by += line_told(self._model, quantity, axis)
        how = {"higher": "", "lower": ", lower is better"}.get(quantity.better, "") + (", log" if plot.log else "")
        return [(f" {quantity.label}", "heading"), (f"{by}{how}", "dim"), (self._under_cursor(quantity), "accent")]

    def _under_cursor(self, quantity: Quantity) -> str:
        node = self._pointed
        if node is None:
            return ""
        value = quantity.read(node)
        return f"  #{node.id} {short_score(value) if value is not None else node.status or '…'}"

    def _axis_row(self, index: int) -> Sequence[Piece]:
        """Return round numbers along the axis, acts of people, and the cursor."""
        assert self._model is not None
        _, plot = self._plots[index]
        cells, places = [" "] * plot.width, {}
        for column, label in ticks(plot.left, plot.right, plot.width):
            start = max(0, min(column, plot.width - len(label)))
            cells[start : start + len(label)] = label
            places.update(dict.fromkeys(range(start, start + len(label)), (start, len(label))))

        def mark(place: int, sign: str) -> None:
            # What is left of a number would be another one.
            start, length = places.get(place, (place, 1))
            for cell in range(start, start + length):
                cells[cell] = cells[cell] if cells[cell] == "●" else " "
            cells[place] = sign

        axis = self._axis(self.choices[index])
        for act in self._model.spending.acts if axis != "objective" else ():
            place = plot.column_of(min(plot.extent, getattr(act.spent, axis)))
            if place is not None:
                mark(place, "●")
        node = self._pointed
        cell = plot.cell_of(node) if node is not None else None
        if cell is not None:
            # Not the sign of the best node: the cursor may be at any.
            mark(cell[0], "↑")
        return [(f"{'':>{_AXIS}}{''.join(cells)}", "dim")]

    # Acting

    @property
    def _choice(self) -> PlotChoice:
        return self.choices[self._current]

    def _choose(self) -> None:
        self._load()
        self.repaint_all()
        self.post_message(self.Arranged())

    def action_measure(self, step: int) -> None:
        """Plot another quantity."""
        if self._model is not None:
            known = [quantity.id for quantity in quantities(self._model)]
            here = known.index(self._choice.measure) if self._choice.measure in known else 0
            self._choice.measure = known[(here + step) % len(known)]
            self._choose()

    def action_axis(self) -> None:
        """Lay the nodes along another axis."""
        spent = self._model is not None and self._model.state.tokens
        axes = (_AXES if spent else _AXES[:3]) + (_OF_A_FRONT if self._is_front else ())
        here = axes.index(axis) if (axis := self._axis(self._choice)) in axes else 0
        self._choice.axis = axes[(here + 1) % len(axes)]
        self._windows[self._current] = None
        self._choose()

    def action_scale(self) -> None:
        """Use another scale."""
        self._choice.scale = _SCALES[(_SCALES.index(self._choice.scale) + 1) % len(_SCALES)]
        self._choose()

    def action_zoom(self, factor: float) -> None:
        """Show a smaller or larger part around the cursor."""
        if not self._plots:
            return
        plot = self._plots[self._current][1]
        place = self._place_of(self._node)
        middle = place if place is not None and plot.left <= place <= plot.right else (plot.left + plot.right) / 2
        half = (plot.right - plot.left) * factor / 2
        self._show_part(middle - half, middle + half)

    def action_pan(self, step: int) -> None:
        """Show the part before or after this one."""
        if self._plots:
            plot = self._plots[self._current][1]
            by = (plot.right - plot.left) / 2 * step
            self._show_part(plot.left + by, plot.right + by)

    def action_all(self) -> None:
        """Show the whole axis."""
        self._windows[self._current] = None
        self._load()
        self.repaint_all()

    def _show_part(self, left: float, right: float) -> None:
        start, end = self._plots[self._current][1].start, self._plots[self._current][1].extent
        extent = max(1e-9, end - start)
        width = right - left
        if width >= extent:
            self.action_all()
            return
        left = min(max(start, left), start + extent - width)
        # A part of no nodes shows nothing.
        self._windows[self._current] = left, left + max(width, extent * 1e-4)
        self._load()
        self.repaint_all()

    def _place_of(self, node: int | None) -> float | None:
        found = self._model.node(node) if self._model is not None and node is not None else None
        if found is None or self._model is None:
            return None
        return axis_value(self._model, self._axis(self._choice), found)

    @property
    def _is_front(self) -> bool:
        return self._model is not None and self._model.state.settings.fitness.kind == "pareto"

    def _axis(self, choice: PlotChoice) -> Axis:
        return choice.axis if choice.axis in AXES and (choice.axis != "objective" or self._is_front) else "node"

    def _in_order(self) -> list[tuple[float, int]]:
        """Return the places and ids of the measured nodes along the axis."""
        assert self._model is not None
        nodes = [node.id for node in self._model.state.nodes if node.status is not None]
        return sorted((place, node) for node in nodes if (place := self._place_of(node)) is not None)

    def action_step(self, step: int) -> None:
        """Go to the next node along the axis, or the one before."""
        if self._model is None or not (order := self._in_order()):
            return
        place = self._place_of(self._node)
        here = bisect_left(order, (place, self._node or 0)) if place is not None else -1
        self._pick(order[max(0, min(len(order) - 1, here + step))][1])

    def action_leap(self, step: int) -> None:
        """Go a tenth of the shown axis further or back."""
        if not self._plots or self._model is None or not (order := self._in_order()):
            return
        plot = self._plots[self._current][1]
        place = (self._place_of(self._node) or 0.0) + step * (plot.right - plot.left) / 10
        index = bisect_left(order, (place, 0))
        self._pick(order[max(0, min(len(order) - 1, index if step > 0 else index - 1))][1])

    def action_best(self) -> None:
        """Go to the best node."""
        if self._model is not None and self._model.state.best is not None:
            self._pick(self._model.state.best)

    def on_click(self, event: events.Click) -> None:
        """Go to the node nearest to the clicked column."""
        index = next((n for n in range(len(self._plots)) if self._share(n)[0] <= event.y < self._share(n)[1]), None)
        if index is None or self._model is None:
            return
        self._current = index
        column = event.x - _AXIS
        order = self._in_order()
        if order and 0 <= column < self._plots[index][1].width:
            place = self._plots[index][1].place_at(column)
            self._pick(min(order, key=lambda item: (abs(item[0] - place), item[1]))[1])

    def _pick(self, node: int) -> None:
        place = self._place_of(node)
        window = self._windows[self._current]
        if window is not None and place is not None and not window[0] <= place <= window[1]:
            half = (window[1] - window[0]) / 2
            self._show_part(place - half, place + half)
        self.point(node)
        self.post_message(self.Picked(node))

    def action_open(self) -> None:
        """Open the node under the cursor."""
        if self._node is not None:
            self.post_message(self.Opened(self._node))

    def action_add(self) -> None:
        """Add a plot of the next quantity."""
        if len(self.choices) < _MOST and self.size.height >= 3 * (len(self.choices) + 1):
            self.choices.append(PlotChoice(self._choice.measure, self._choice.axis))
            self._windows.append(self._windows[self._current])
            self._current = len(self.choices) - 1
            self.action_measure(1)

    def action_drop(self) -> None:
        """Drop the plot that the keys act on, but not the last one."""
        if len(self.choices) > 1:
            del self.choices[self._current], self._windows[self._current]
            self._current = min(self._current, len(self.choices) - 1)
            self._choose()

    def action_turn(self) -> None:
        """Act on the next plot."""
        self._current = (self._current + 1) % len(self.choices)
        self.repaint()


def _awaited_score(state: RunState) -> str:
    """Return what a plot without a score waits for."""
    if not state.nodes:
        return "no score yet: the first program is not there"
    if state.status not in ("running", "paused"):
        return "no score: no program could be measured"
    open_ = next((node for node in state.nodes if node.status is None), None)
    what = f"#{open_.id} is being measured" if open_ is not None else "it comes with the next program that is measured"
    return f"no score yet: {what}"


def _runs(text: str, best: bytes, look: str, cursor: int = -1) -> list[Piece]:
    """Return the text split where the line of the best or the cursor starts and ends."""
    pieces: list[Piece] = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or bool(best[index]) != bool(best[start]) or cursor in (index, index - 1):
            pieces.append((text[start:index], "cursor" if start == cursor else "best" if best[start] else look))
            start = index
    return pieces
