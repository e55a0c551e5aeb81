"""The list of runs: a row each, with the columns that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.cells import set_cell_size
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.journal.clock import local_zone
from engine.runs.disk import describe_bytes
from engine.text import one_line
from tui.feed.run_row import RunRow
from tui.feed.runs_watch import since
from tui.model.labels import cut_middle, fit
from tui.model.status import STATUS_LOOKS
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView

__all__ = ["RunsView", "choose_columns"]

_LEAST = 25
"""Cells that the name keeps before another column is shown."""
_ONE, _TWO = 11, 24
"""Cells for the best: a score; or a fitness with the score beside it, if any run is ranked by fitness."""
_MORE = {"disk": 8, "started": 18, "to record": 10, "task": 17, "host": 10, "tags": 14}
"""Columns that are shown if there is room, the most wanted first, and their least cells."""
_PLACES = ("to record", "disk", "task", "started", "host", "tags")
"""Their order."""
_WORDS = ("task", "host", "tags")
"""Columns that take more cells if there is room for their longest words."""
_MOST = 40


class Columns(NamedTuple):
    """The columns of the list at some width."""

    name: int
    """Cells of the name."""
    best: int
    """Cells of the best."""
    more: dict[str, int]
    """Cells of further columns, in their order."""

    def names(self) -> str:
        """Return the line above the rows."""
        head = "best" if self.best == _ONE else "best (its score)"
        shown = f" {'name':<{self.name - 1}}{'status':<9}{'rounds':>11} {head:>{self.best}} {'nodes':>7}"
        told = {"started": f"started ({local_zone()})", "task": "task", "host": "host", "tags": "tags"}
        return shown + "".join(
            f"  {fit(told[name], cells - 2)}" if name in told else f"{name:>{cells}}"
            for name, cells in self.more.items()
        )


def choose_columns(width: int, rows: Sequence[RunRow]) -> Columns:
    """Return the columns that fit into so many cells."""
    best = _TWO if any(row.ranking.by_fitness for row in rows) else _ONE
    # Below the smallest size only the notice is seen, but the rows are made too.
    left, shown = max(3, width - 30 - best), {}
    known = {
        "to record": any(row.to_record is not None for row in rows),
        "tags": any(row.tags for row in rows),
    }
    for name, cells in _MORE.items():
        if left - cells >= _LEAST and known.get(name, True):
            left -= cells
            shown[name] = cells
    name_cells = max([_LEAST, *(len(row.name) + 3 for row in rows)])
    for name in _WORDS:
        if name in shown and left > name_cells:
            longest = min(_MOST, max(len(_words(row, name)) for row in rows) + 2) if rows else 0
            more = max(0, min(left - name_cells, longest - shown[name]))
            shown[name] += more
            left -= more
    # A wide list ends early, so that a name and its status stay near each other.
    return Columns(min(left, name_cells), best, {name: shown[name] for name in _PLACES if name in shown})


def _words(row: RunRow, name: str) -> str:
    """Return what stands in a column of words."""
    told = {"task": row.task, "host": row.on or row.host, "tags": " ".join(row.tags)}
    return one_line(told[name], 200)


def _best(row: RunRow) -> str:
    """Return what the best is ranked by, and its score beside that."""
    return "no score" if row.best is None else row.ranking.brief(row.best)


class RunsView(RowsView):
    """The list of runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Attach", id="runs.attach", tooltip="Open the run"),
        Binding("m", "mark", "Mark", id="runs.mark", tooltip="Mark the run to compare it with others"),
    ]

    empty = " reading the runs…"

    class Chosen(Message):
        """The user wants to open a run."""

        def __init__(self, row: RunRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, marked: dict[Path, None] | None = None, at: tuple[str, Path] | None = None) -> None:
        super().__init__(id="runs")
        self.rows_: list[RunRow] = []
        self.marked: dict[Path, None] = {} if marked is None else marked
        """Folders of the runs to compare, in the order they were marked."""
        self.hidden = 0
        """Archived runs that are not shown."""
        self.filtered = False
        """Whether a filter chooses among the runs."""
        self._at = at
        self.columns = choose_columns(80, ())

    @property
    def selected(self) -> RunRow | None:
        """The run under the cursor."""
        return self.rows_[self.cursor] if self.cursor < len(self.rows_) else None

    @property
    def held(self) -> tuple[str, Path] | None:
        """The key of the row that the cursor keeps.

        Until somebody moves it, that is none, and it stays on the first row: which runs are read first is chance.
        """
        return self._at

    def show(self, rows: list[RunRow]) -> None:
        """Show new rows; keep the cursor on its run."""
        held = self.held
        self.rows_ = rows
        self.columns = choose_columns(self.size.width, rows)
        self.empty = " no run yet: press t to start one"
        if self.filtered:
            self.empty = " no run matches: / changes the search, escape ends it"
        elif self.hidden:
            self.empty = f" {self.hidden} runs are archived: A shows them"
        keys = [row.key for row in rows]
        self.cursor = keys.index(held) if held in keys else min(self.cursor, max(0, len(rows) - 1))
        self.show_cursor()
        self.repaint()

    def count(self) -> int:
        """Return the number of runs."""
        return len(self.rows_)

    def on_resize(self) -> None:
        """Choose the columns for the new width."""
        self.columns = choose_columns(self.size.width, self.rows_)
        super().on_resize()

    def go(self, index: int) -> None:
        """Put the cursor on a row, which it keeps from now on."""
        super().go(index)
        self._at = self.selected.key if self.selected is not None else None

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return name, status, rounds, best; then more if it fits."""
        row, columns = self.rows_[index], self.columns
        sign = "*" if not row.on and row.folder in self.marked else " "
        look = "accent" if sign == "*" else "dim" if row.archived else "plain"
        name = cut_middle(one_line(row.name, 250), columns.name - 2)
        pieces: list[Piece] = [(f"{sign}{set_cell_size(name, columns.name - 1)}", look)]
        pieces.append((f"{row.status:<9}", STATUS_LOOKS.get(row.status, "bad")))
        if row.trouble:
            return [*pieces, (one_line(row.trouble, 200), "bad")]
        rounds = f"{row.rounds}/{row.rounds_total}" if row.rounds_total else f"{row.rounds}"
        pieces.append((f"{rounds:>11} {_best(row):>{columns.best}} {row.nodes:>7,}", "plain"))
        told = {
            "to record": f"{'–' if row.to_record is None else f'{row.to_record:.1%}':>10}",
            "disk": f"{'…' if row.disk is None else describe_bytes(row.disk):>8}",
            "started": f"  {since(row.started):<16}",
        }
        more = (
            f"  {fit(_words(row, name), cells - 2)}" if name in _WORDS else told[name]
            for name, cells in columns.more.items()
        )
        return [*pieces, ("".join(more).rstrip(), "dim")]

    def action_open(self) -> None:
        """Open the run."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def action_mark(self) -> None:
        """Mark or unmark the run, and go to the next."""
        row = self.selected
        if row is None or row.on:
            return
        if row.folder in self.marked:
            del self.marked[row.folder]
        else:
            self.marked[row.folder] = None
        self.action_move(1)
        self.repaint()
        self.screen.refresh_bindings()
