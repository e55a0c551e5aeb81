"""Runs: the home screen with all runs of the workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.cells import set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import EvolveError, UsageError
from engine.journal.clock import local_zone
from engine.runs.folder import Run
from engine.runs.manage import delete_run, rename_run
from engine.text import one_line
from tui import acts
from tui.feed.runs_watch import RunRow, RunsWatch, since
from tui.model.labels import cut_middle, fit
from tui.model.status import STATUS_LOOKS, Cell
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Confirm, Prompt, check_number
from tui.screens.trust import ask_for_trust
from tui.widgets.bars import StatusBar, Title
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView

__all__ = ["RunsScreen"]


_WIDE = 101
"""Columns from which task, start and host are shown too, without the column of the best."""
_WAY = 10
"""Cells for the way to the record, if any run has one and there is room."""
_ONE, _TWO = 11, 24
"""Cells for the best: a score; or a fitness with the score beside it, if any run is ranked by fitness."""


def _name_width(width: int, best: int, way: int) -> int:
    # Below the smallest size only the notice is seen, but the rows are made too.
    return max(3, width - 30 - best - way - (50 if width >= _WIDE + best else 0))


def _columns(width: int, best: int, way: int) -> str:
    """Return the names of the columns."""
    head = "best" if best == _ONE else "best (its score)"
    shown = f" {'name':<{_name_width(width, best, way) - 1}}{'status':<9}{'rounds':>11} {head:>{best}} {'nodes':>7}"
    shown += f"{'to record':>{way}}" if way else ""
    return shown + (f"  {'task':<18} {fit(f'started ({local_zone()})', 16)} host" if width >= _WIDE + best else "")


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

    @property
    def selected(self) -> RunRow | None:
        """The run under the cursor."""
        return self.rows_[self.cursor] if self.cursor < len(self.rows_) else None

    def show(self, rows: list[RunRow]) -> None:
        """Show new rows; keep the cursor on its run."""
        held = self.selected.folder if self.selected is not None else None
        self.rows_ = rows
        self.empty = " no run yet: press t to start one"
        folders = [row.folder for row in rows]
        self.cursor = folders.index(held) if held in folders else min(self.cursor, max(0, len(rows) - 1))
        self.show_cursor()
        self.repaint()

    def count(self) -> int:
        """Return the number of runs."""
        return len(self.rows_)

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
        shown = cut_middle(one_line(row.name, 250), name - 2)
        sign = "*" if row.folder in self.marked else " "
        pieces: list[Piece] = [(f"{sign}{set_cell_size(shown, name - 1)}", "accent" if sign == "*" else "plain")]
        pieces.append((f"{row.status:<9}", STATUS_LOOKS.get(row.status, "bad")))
        if row.trouble:
            return [*pieces, (one_line(row.trouble, 200), "bad")]
        rounds = f"{row.rounds}/{row.rounds_total}"
        pieces.append((f"{rounds:>11} {_best(row):>{self.best_width}} {row.nodes:>7,}", "plain"))
        if way:
            pieces.append((f"{'–' if row.to_record is None else f'{row.to_record:.1%}':>{way}}", "plain"))
        if self.size.width >= _WIDE + self.best_width:
            pieces.append((f"  {one_line(row.task, 18):<18} {since(row.started):<17}{one_line(row.host, 12)}", "dim"))
        return pieces

    def action_open(self) -> None:
        """Open the run."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def action_mark(self) -> None:
        """Mark or unmark the run, and go to the next."""
        row = self.selected
        if row is None:
            return
        if row.folder in self.marked:
            del self.marked[row.folder]
        else:
            self.marked[row.folder] = None
        self.action_move(1)
        self.repaint()
        self.screen.refresh_bindings()


class RunsScreen(BaseScreen):
    """All runs.

    Args:
        runs: the folder of the runs.
    """

    DEFAULT_CSS = "RunsScreen #runs { height: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "start", "New run", id="runs.start", tooltip="Start a run of a built-in task or of a folder"),
        Binding("c", "compare", "Compare", id="runs.compare", tooltip="Compare the marked runs"),
        Binding("C", "priors", "Priors", id="runs.priors", tooltip="The knowledge about the run's task"),
        Binding("r", "replay", "Replay", id="runs.replay", tooltip="Replay the run from its events"),
        Binding("R", "rename", "Rename", id="runs.rename", tooltip="Rename the run"),
        Binding("D", "delete", "Delete", id="runs.delete", tooltip="Delete the run with all its results"),
    ]

    title_ = "Runs"
    about = "The runs of the workspace, newest first. A run goes on whether or not you watch it."

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._folder = runs
        self._list = RunsView()
        self._status = StatusBar(id="status")
        self._head = Title(" Runs", id="head")
        self._columns = Title(id="columns")
        self._watch = RunsWatch(runs, self._found)
        self._asked_for = ""

    def compose_body(self) -> ComposeResult:
        """Compose the folder's name, then the runs."""
        yield self._status
        yield self._head
        yield self._columns
        yield self._list

    def on_mount(self) -> None:
        """Start watching."""
        self._list.focus()
        self._watch.start()

    def on_unmount(self) -> None:
        """Stop watching."""
        self._watch.stop()

    def on_screen_resume(self) -> None:
        """Watch again."""
        self._watch.look(True)

    def on_screen_suspend(self) -> None:
        """Stop watching while the list is hidden."""
        self._watch.look(False)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the bar to the new size."""
        super().on_resize(event)
        self._columns.show((self._head_line(event.size.width), "dim"))
        room = max(1, event.size.width - 10)
        self._status.show([Cell(" evolve", 10, "heading"), Cell(cut_middle(str(self._folder), room), room, "dim")])

    def _head_line(self, width: int) -> str:
        return _columns(width, self._list.best_width, self._list.way_width(width))

    class RunsFound(Message):
        """The list of runs changed."""

        def __init__(self, rows: list[RunRow]) -> None:
            super().__init__()
            self.rows = rows

        def can_replace(self, message: Message) -> bool:
            """Only the newest list matters."""
            return isinstance(message, RunsScreen.RunsFound)

    def _found(self, rows: list[RunRow]) -> None:
        # Runs in the watching thread; posting is safe from there and does not wait.
        self.post_message(self.RunsFound(rows))

    def on_runs_screen_runs_found(self, event: RunsFound) -> None:
        """Show the list."""
        self._list.show(event.rows)
        self._columns.show((self._head_line(self.size.width), "dim"))
        going = sum(row.status in ("running", "paused") for row in event.rows)
        self._head.show((" Runs ", "heading"), (f"{len(event.rows)}, {going} with an engine", "dim"))
        self.refresh_bindings()

    def on_runs_view_chosen(self, event: RunsView.Chosen) -> None:
        """Look at a run."""
        if event.row.trouble:
            self.say(event.row.trouble, "bad", 10.0)
        else:
            self.navigator.attach(Run(event.row.folder))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer rename and delete only without an engine, and compare only with enough marked runs."""
        if action in ("rename", "delete"):
            row = self._list.selected
            return row is not None and row.status not in ("running", "paused")
        if action == "compare":
            return len(self._marked()) >= 2
        return action not in ("replay", "priors") or self._list.selected is not None

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Offer the actions of the run under the cursor."""
        self.refresh_bindings()

    # Acting

    def action_start(self) -> None:
        """Ask for a task, then for the limit of rounds."""
        # Lazy, here and below: reading tasks takes a parser, which would delay the application's start.
        from engine.task.load import builtin_tasks

        known = ", ".join(path.name for path in builtin_tasks())
        self.app.push_screen(
            Prompt("Start a run of:", hint=f"{known}, or the path of a task folder", check=_check_task), self._start_of
        )

    def _start_of(self, task: str | None) -> None:
        if task and task.strip():
            self._asked_for = task.strip()
            self.app.push_screen(
                Prompt(
                    f"Rounds for {one_line(self._asked_for, 60)}:", hint="empty: as the task says", check=check_number
                ),
                self._start,
            )

    def _start(self, rounds: str | None) -> None:
        if rounds is None:
            return
        number = int(rounds) if rounds.strip() else None
        self.say(f"starting {one_line(self._asked_for, 60)}…", "accent", 30.0)
        made: list[Run] = []

        def work() -> None:
            acts.new_run(self._asked_for, self._folder, number, "", made.append)
            self.app.call_from_thread(self.navigator.attach, made[0])

        self._in_thread(work)

    def _marked(self) -> list[Run]:
        """Return the marked runs that still exist."""
        there = {row.folder for row in self._list.rows_ if not row.trouble}
        return [Run(folder) for folder in self._list.marked if folder in there]

    def action_compare(self) -> None:
        """Compare the marked runs."""
        from tui.model.compare import MOST_RUNS
        from tui.screens.compare import CompareScreen

        marked = self._marked()
        if len(marked) > MOST_RUNS:
            self.say(f"{len(marked)} runs are marked; at most {MOST_RUNS} can be compared", "bad")
        else:
            self.app.push_screen(CompareScreen(marked))

    def action_replay(self) -> None:
        """Replay the run."""
        row = self._list.selected
        if row is not None and not row.trouble:
            self.navigator.replay(Run(row.folder))

    def action_priors(self) -> None:
        """Show the run's priors."""
        row = self._list.selected
        if row is not None and not row.trouble:
            self.navigator.show_priors(Run(row.folder))

    def action_rename(self) -> None:
        """Ask for a new name, then rename the run."""
        row = self._list.selected
        if row is None:
            return

        def rename(name: str) -> None:
            if name.strip() and name.strip() != row.name:
                rename_run(Run(row.folder), name.strip())

        question = f"Another name for '{one_line(row.name, 60)}':"
        self.app.push_screen(Prompt(question, row.name, act=rename), lambda _: self._watch.wake())

    def action_delete(self) -> None:
        """Ask, then delete the run."""
        row = self._list.selected
        if row is None:
            return
        question = f"Delete '{row.name}' with its {row.nodes} nodes, for ever? {row.folder}"
        self.app.push_screen(
            Confirm(question), lambda yes: self._in_thread(lambda: delete_run(Run(row.folder))) if yes else None
        )

    def _in_thread(self, work: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                work()
            except EvolveError as exc:
                self.app.call_from_thread(self._failed, exc, work)
            self._watch.wake()

        self.run_worker(guarded, thread=True, group="acts", exit_on_error=False)

    def _failed(self, error: EvolveError, work: Callable[[], object]) -> None:
        """Ask whether code from elsewhere may run, or show what went wrong."""
        review = acts.to_agree(error)
        if review is None:
            self.say_error(error)
        else:
            ask_for_trust(self.app, review, lambda: self._in_thread(work), self._not_agreed)

    def _not_agreed(self, error: EvolveError | None) -> None:
        if error is None:
            self.say("nothing of it was run", "dim")
        else:
            self.say_error(error)


def _check_task(text: str) -> None:
    if not text.strip():
        return
    from engine.task.load import find_task

    try:
        acts.path_of(text)
        find_task(text.strip())
    except OSError as exc:
        raise UsageError(f"'{one_line(text, 40)}' is not a task: {exc.strerror}") from None
