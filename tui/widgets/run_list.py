"""The list of runs: a row each, with the columns that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

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

__all__ = ["RunsView", "run_columns"]

_WIDE = 101
"""Columns from which task, start and host are shown too, without the column of the best."""
_WAY = 10
"""Cells for the way to the record, if any run has one and there is room."""
_ONE, _TWO = 11, 24
"""Cells for the best: a score; or a fitness with the score beside it, if any run is ranked by fitness."""


_DISK = 8


def _name_width(width: int, best: int, way: int) -> int:
    # Below the smallest size only the notice is seen, but the rows are made too.
    return max(3, width - 30 - best - way - (51 if width >= _WIDE + best else 0))


def run_columns(width: int, best: int, way: int) -> str:
    """Return the names of the columns."""
    head = "best" if best == _ONE else "best (its score)"
    shown = f" {'name':<{_name_width(width, best, way) - 1}}{'status':<9}{'rounds':>11} {head:>{best}} {'nodes':>7}"
    shown += f"{'to record':>{way}}" if way else ""
    if width < _WIDE + best:
        return shown
    return f"{shown}{'disk':>{_DISK}}  {'task':<15} {fit(f'started ({local_zone()})', 16)} host"


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

    def __init__(self) -> None:
        super().__init__(id="runs")
        self.rows_: list[RunRow] = []
        self.marked: dict[Path, None] = {}
        """Folders of the runs to compare, in the order they were marked."""
        self.hidden = 0
        """Archived runs that are not shown."""
        self.filtered = False
        """Whether a filter chooses among the runs."""
        self._moved = False

    @property
    def selected(self) -> RunRow | None:
        """The run under the cursor."""
        return self.rows_[self.cursor] if self.cursor < len(self.rows_) else None

    def show(self, rows: list[RunRow]) -> None:
        """Show new rows; keep the cursor on its run."""
        # Until somebody moves it, the cursor is on the first row: which runs are read first is chance.
        held = self.selected.key if self.selected is not None and self._moved else None
        self.rows_ = rows
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

    def go(self, index: int) -> None:
        """Put the cursor on a row, which it keeps from now on."""
        self._moved = True
        super().go(index)

    def way_width(self, width: int) -> int:
        """Return the cells of the column of the way to the record, of so many in all; 0 if it is not shown."""
        known = any(row.to_record is not None for row in self.rows_)
        return _WAY if known and width >= _WIDE + self.best_width + _WAY else 0

    @property
    def best_width(self) -> int:
        """Cells of the column of the best."""
        return _TWO if any(row.ranking.by_fitness for row in self.rows_) else _ONE

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return name, status, rounds, best; then more if it fits."""
        row = self.rows_[index]
        way = self.way_width(self.size.width)
        name = _name_width(self.size.width, self.best_width, way)
        sign = "*" if not row.on and row.folder in self.marked else " "
        look = "accent" if sign == "*" else "dim" if row.archived else "plain"
        pieces: list[Piece] = [
            (f"{sign}{set_cell_size(cut_middle(one_line(row.name, 250), name - 2), name - 1)}", look)
        ]
        pieces.append((f"{row.status:<9}", STATUS_LOOKS.get(row.status, "bad")))
        if row.trouble:
            return [*pieces, (one_line(row.trouble, 200), "bad")]
        rounds = f"{row.rounds}/{row.rounds_total}" if row.rounds_total else f"{row.rounds}"
        pieces.append((f"{rounds:>11} {_best(row):>{self.best_width}} {row.nodes:>7,}", "plain"))
        if way:
            pieces.append((f"{'–' if row.to_record is None else f'{row.to_record:.1%}':>{way}}", "plain"))
        if self.size.width >= _WIDE + self.best_width:
            size = "…" if row.disk is None else describe_bytes(row.disk)
            told = f"{size:>{_DISK}}  {fit(one_line(row.task, 40), 15)} {since(row.started):<17}"
            pieces.append((told + one_line(row.on or row.host, 8), "dim"))
        return pieces

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
