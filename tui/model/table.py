"""The table of nodes: columns of their numbers and words, sorted by any of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from engine.state.node import Node
from engine.text import one_line
from tui.model.islands import has_islands
from tui.model.labels import fit, marks, outcome, short_score
from tui.model.moves import short_moves
from tui.model.quantities import quantities
from tui.model.run_model import RunModel

__all__ = ["MARKED", "Column", "Table"]

MARKED = "◆"
"""The sign of a node that the user has marked to compare it."""

Value = float | str | None

_OWN = frozenset(
    ("#", "fitness", "score", "front", "change", "operator", "design", "parent", "round", "status", "seconds", "tokens",
     "dollars", "model", "island", "priors", "descendants")
)  # fmt: skip
"""Names of the columns that are no metric's."""


class Column(NamedTuple):
    """A column of the table."""

    name: str
    width: int
    read: Callable[[Node], Value]
    """What is sorted by and written as CSV."""
    text: Callable[[Node, Value], str]
    rising: bool = True
    """Whether small values come first when one begins to sort by it."""


class Table:
    """The columns of a run's nodes, and which of them sorts the rows.

    Args:
        model: the run.
        marked: the nodes that the user has marked; it may change.
    """

    def __init__(self, model: RunModel, marked: Collection[int] = ()) -> None:
        self._model = model
        self._marked = marked
        self._known: tuple[int, ...] = ()
        self._columns: list[Column] = []
        self.sorted_by = "score" if not model.state.ranking.by_fitness else "fitness"
        """Name of the column that sorts the rows."""
        self.rising = not model.state.ranking.maximize
        self.first = 0
        """How many columns are shifted out at the left; the first one always stays."""

    def on(self, model: RunModel) -> Table:
        """Return the same table of another model of the run."""
        twin = Table(model, self._marked)
        twin.sorted_by, twin.rising, twin.first = self.sorted_by, self.rising, self.first
        return twin

    @property
    def columns(self) -> list[Column]:
        """All columns; each metric has its own as soon as a node has it."""
        state = self._model.state
        # What the columns depend on: the ranking, and the nodes that tell whether there are islands, too.
        known = len(self._model.metrics), bool(state.tokens), state.rankings, has_islands(state.nodes)
        if known != self._known:
            self._known = known
            self._columns = list(_columns(self._model, self._marked))
        return self._columns

    @property
    def column(self) -> Column:
        """The column that sorts the rows."""
        return next((column for column in self.columns if column.name == self.sorted_by), self.columns[0])

    def sort_by_next(self, step: int) -> None:
        """Sort by the next column, in the order that suits it."""
        index = (self.columns.index(self.column) + step) % len(self.columns)
        self.sorted_by, self.rising = self.columns[index].name, self.columns[index].rising

    def key(self, node: Node) -> tuple[Any, ...]:
        """Return what a node is sorted by: nodes without a value come last, equal ones by age."""
        value = self.column.read(node)
        if value is None:
            return (1, 0, node.id)
        if isinstance(value, str):
            return (0, tuple(map(ord, value)) if self.rising else (*(-ord(sign) for sign in value), math.inf), node.id)
        return (0, value if self.rising else -value, node.id)

    def _seen(self, width: int) -> list[Column]:
        """Return the columns that fit into a width as a whole; the sorting one is shifted in by `reveal`.

        Half a number would be taken for a number. The first of them is there however narrow the table is.
        """
        fixed, rest = self.columns[:1], self.columns[1 + self.first :]
        seen, left = list(fixed), width - fixed[0].width
        for column in rest:
            # The blank at the end of the last one may be cut.
            if left < column.width - 1 and len(seen) > 1:
                break
            seen.append(column)
            left -= column.width
        return seen

    def shift(self, step: int) -> None:
        """Shift columns in or out at the left."""
        self.first = max(0, min(len(self.columns) - 2, self.first + step))

    def reveal(self, width: int) -> None:
        """Shift until the sorting column is seen whole."""
        while self.first and self.column not in self._seen(width)[1:]:
            self.first -= 1
        while self.first < len(self.columns) - 2 and (
            self.column not in (seen := self._seen(width))
            or sum(item.width for item in seen[: seen.index(self.column) + 1]) > width
        ):
            self.first += 1

    def header(self, width: int) -> list[tuple[str, str]]:
        """Return the names of the columns; a sign at the sorting one says which way."""
        sign, seen = "↑" if self.rising else "↓", self._seen(width)
        pieces = [
            (
                _cell(column.name + (sign if column is self.column else ""), column),
                "accent" if column is self.column else "dim",
            )
            for column in seen
        ]
        left = width - sum(column.width for column in seen)
        if left > 0 and 1 + self.first + len(seen[1:]) < len(self.columns):
            pieces.append((f"{'→':>{left}}", "dim"))
        return pieces

    def row(self, node: Node, width: int) -> list[tuple[str, str]]:
        """Return a node's cells, those before and after the sorting column together."""
        pieces: list[tuple[str, str]] = []
        for column in self._seen(width):
            text = _cell(column.text(node, column.read(node)), column)
            plain = "dim" if node.pruned else "best" if node.id == self._model.state.best else "plain"
            look = "accent" if column is self.column else plain
            if pieces and pieces[-1][1] == look:
                pieces[-1] = (pieces[-1][0] + text, look)
            else:
                pieces.append((text, look))
        return pieces

    def csv(self, nodes: Iterable[Node]) -> str:
        """Return nodes as CSV with a header, all columns, full precision."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        for node in nodes:
            writer.writerow([_plain(column.read(node)) for column in self.columns])
        return file.getvalue()


def _columns(model: RunModel, marked: Collection[int]) -> Iterable[Column]:
    known = {quantity.id: quantity for quantity in quantities(model)}
    rank = known.pop("rank")
    yield Column(
        "#",
        13,
        lambda node: node.id,
        lambda node, value: f"{marks(model, node)} #{node.id}{MARKED if node.id in marked else ''}",
    )
    yield Column(
        "score" if not model.state.ranking.by_fitness else "fitness",
        10,
        rank.read,
        lambda node, value: outcome(model, node),
        rank.better == "lower",
    )
    if "score" in known:
        yield Column("score", 10, known.pop("score").read, _number, model.state.ranking.direction == "minimize")
    if model.state.settings.fitness.kind == "pareto":
        yield Column("front", 8, lambda node: node.front, _whole)
    yield Column("change", 10, known.pop("change").read, _signed, False)
    yield Column("operator", 10, lambda node: node.operator, _words)
    yield Column("design", 34, lambda node: node.name, lambda node, value: short_moves(node.name, node.operator, 33))
    yield Column(
        "parent",
        8,
        lambda node: node.parents[0] if node.parents else None,
        lambda node, value: f"#{value}" if value is not None else "",
    )
    yield Column("round", 7, lambda node: node.round, _whole)
    yield Column("status", 10, lambda node: node.status or "running", _words)
    for id_, quantity in known.items():
        if id_ not in ("seconds", "tokens", "usd"):
            # The whole name: of two metrics that begin alike each has a column of its own.
            metric = id_.removeprefix("metric ") if id_ not in model.metrics else id_
            name = f"{one_line(metric, 200)} (metric)" if metric in _OWN else one_line(metric, 200)
            yield Column(name, max(10, min(18, len(name) + 2)), quantity.read, _number, False)
    yield Column("seconds", 10, known["seconds"].read, _number, False)
    if "tokens" in known:
        yield Column("tokens", 9, known["tokens"].read, _whole, False)
        yield Column("dollars", 9, known["usd"].read, _number, False)
        yield Column("model", 14, model.spending.model_of, _words)
    if has_islands(model.state.nodes):
        yield Column("island", 8, lambda node: node.island, _whole)
    yield Column("priors", 8, lambda node: len(node.priors), _whole, False)
    yield Column("descendants", 13, lambda node: model.forest.descendants.get(node.id, 0), _whole, False)


def _cell(text: str, column: Column) -> str:
    return fit(text, column.width - 1) + " "


def _number(node: Node, value: Value) -> str:
    return short_score(value) if isinstance(value, float | int) else ""


def _signed(node: Node, value: Value) -> str:
    return f"{'+' if value >= 0 else ''}{short_score(value)}" if isinstance(value, float | int) else ""


def _whole(node: Node, value: Value) -> str:
    return f"{value:,.0f}" if isinstance(value, float | int) else ""


def _words(node: Node, value: Value) -> str:
    return one_line(str(value or ""), 40)


def _plain(value: Value) -> str | float:
    """Return a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
