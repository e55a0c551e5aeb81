"""Runs: the home screen with all runs of the workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import EvolveError, UsageError
from engine.runs.folder import Run
from engine.runs.hosts import Host, read_hosts
from engine.runs.labels import archive_run, parse_tags, set_tags
from engine.runs.manage import delete_run, rename_run
from engine.runs.run_filter import RunFilter, parse_run_filter
from engine.text import one_line
from tui import acts
from tui.feed.hosts_watch import HostsWatch
from tui.feed.run_row import RunRow
from tui.feed.runs_watch import RunsWatch
from tui.model.labels import cut_middle
from tui.model.status import Cell
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Confirm, Prompt, check_number
from tui.screens.remote import open_there
from tui.screens.trust import ask_for_trust
from tui.widgets.bars import StatusBar, Title
from tui.widgets.rows import RowsView
from tui.widgets.run_list import RunsView, choose_columns

__all__ = ["RunsChoice", "RunsScreen"]


@dataclass
class RunsChoice:
    """What the user chose in the list, kept while a run is looked at."""

    filter: RunFilter = field(default_factory=RunFilter)
    archived: bool = False
    """Whether archived runs are shown, too."""
    marked: dict[Path, None] = field(default_factory=dict)
    """Folders of the runs to compare, in the order they were marked."""
    at: tuple[str, Path] | None = None
    """The key of the row under the cursor, once it was moved."""


class RunsScreen(BaseScreen):
    """All runs.

    Args:
        runs: the folder of the runs.
        choice: what was chosen before; it is kept up to date.
    """

    DEFAULT_CSS = "RunsScreen #runs { height: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "start", "New run", id="runs.start", tooltip="Start a run of a built-in task or of a folder"),
        Binding("c", "compare", "Compare", id="runs.compare", tooltip="Compare the marked runs"),
        Binding("C", "priors", "Priors", id="runs.priors", tooltip="The knowledge about the run's task"),
        Binding("r", "replay", "Replay", id="runs.replay", tooltip="Replay the run from its events"),
        Binding(
            "slash,ampersand",
            "filter",
            "Search",
            id="runs.filter",
            key_display="/",
            tooltip="Show only runs that match: tag:good status:paused words",
        ),
        Binding("number_sign", "tags", "Tags", id="runs.tag", key_display="#", tooltip="Words to find the run by"),
        Binding(
            "a", "archive", "Archive", id="runs.archive", tooltip="Leave the run out of this list, or list it again"
        ),
        Binding("A", "archived", "Archived", id="runs.archived", show=False, tooltip="Show archived runs too, or not"),
        Binding("escape", "back", "All runs", id="runs.back", tooltip="End the search"),
        Binding("R", "rename", "Rename", id="runs.rename", tooltip="Rename the run"),
        Binding("D", "delete", "Delete", id="runs.delete", tooltip="Delete the run with all its results"),
    ]

    title_ = "Runs"
    about = "The runs of the workspace, newest first. A run goes on whether or not you watch it."

    def __init__(self, runs: Path, choice: RunsChoice) -> None:
        super().__init__()
        self._folder = runs
        self._choice = choice
        self._list = RunsView(choice.marked, choice.at)
        self._status = StatusBar(id="status")
        self._head = Title(" Runs", id="head")
        self._columns = Title(id="columns")
        self._watch = RunsWatch(runs, self._found)
        self._hosts: dict[str, Host] = {}
        self._far = HostsWatch({}, self._found_far)
        self._here: list[RunRow] = []
        self._there: dict[str, list[RunRow]] = {}
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
        if self.navigator.access == "terminal":
            # A browser has no terminal, which ssh needs to show a run of another machine.
            try:
                self._hosts = read_hosts()
            except EvolveError as exc:
                self.call_after_refresh(self.say_error, exc)
            self._there = {name: [] for name in self._hosts}
            self._far = HostsWatch(self._hosts, self._found_far)
            self._far.start()

    def on_unmount(self) -> None:
        """Stop watching, and keep the place."""
        self._choice.at = self._list.held
        self._watch.stop()
        self._far.stop()

    def on_screen_resume(self) -> None:
        """Watch again."""
        self._watch.look(True)
        self._far.look(True)

    def on_screen_suspend(self) -> None:
        """Stop watching while the list is hidden."""
        self._watch.look(False)
        self._far.look(False)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the bar to the new size."""
        super().on_resize(event)
        self._columns.show((self._head_line(event.size.width), "dim"))
        self._show_bar()

    def _head_line(self, width: int) -> str:
        return choose_columns(width, self._list.rows_).names()

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
        self._here = event.rows
        self._show()

    class FarRunsFound(Message):
        """Another machine told which runs it has, or could not be reached."""

        def __init__(self, on: str, rows: list[RunRow]) -> None:
            super().__init__()
            self.on = on
            self.rows = rows

    def _found_far(self, on: str, rows: list[RunRow]) -> None:
        # Runs in a thread of the machine.
        self.post_message(self.FarRunsFound(on, rows))

    def on_runs_screen_far_runs_found(self, event: FarRunsFound) -> None:
        """Show its runs among the others."""
        self._there[event.on] = event.rows
        self._show()

    def _show(self) -> None:
        """Show the runs that the filter lets through, newest first; machines that are not reached come last."""
        rows = [*self._here, *(row for rows in self._there.values() for row in rows)]
        shown = [row for row in rows if row.status == "away" or self._choice.filter(row.facts)]
        shown.sort(key=lambda row: (row.status != "away", row.started, row.name), reverse=True)
        self._list.filtered = bool(self._choice.filter.text)
        self._list.hidden = sum(row.archived for row in rows) - sum(row.archived for row in shown)
        self._list.show(shown)
        self._columns.show((self._head_line(self.size.width), "dim"))
        going = sum(row.status in ("running", "paused") for row in shown)
        told = f"{sum(row.status != 'away' for row in shown)}, {going} with an engine"
        told += f", {self._list.hidden} archived" if self._list.hidden and not self._choice.filter.text else ""
        only = f"  only {one_line(self._choice.filter.text, 80)}" if self._choice.filter.text else ""
        self._head.show((" Runs ", "heading"), (told, "dim"), (only, "accent"))
        self._show_bar()
        self.refresh_bindings()

    def _show_bar(self) -> None:
        """Show the tags of the run under the cursor, else the folder."""
        row = self._list.selected
        tags = " ".join((*(["(archived)"] if row.archived else []), *row.tags)) if row is not None else ""
        room = max(1, self.size.width - 10)
        shown = (
            Cell(one_line(f"{row.name}: {tags}", room), room, "accent")
            if row is not None and tags
            else Cell(cut_middle(str(self._folder), room), room, "dim")
        )
        self._status.show([Cell(" evolve", 10, "heading"), shown])

    def on_runs_view_chosen(self, event: RunsView.Chosen) -> None:
        """Look at a run."""
        row = event.row
        if row.trouble:
            self.say(row.trouble, "bad", 10.0)
        elif row.on:
            open_there(self, row.on, self._hosts[row.on], ["attach", str(row.folder)])
        else:
            self.navigator.attach(Run(row.folder))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer rename and delete only without an engine, and compare only with enough marked runs."""
        row = self._list.selected
        if action in ("rename", "delete"):
            return row is not None and not row.on and row.status not in ("running", "paused")
        if action == "compare":
            return len(self._marked()) >= 2
        if action == "back":
            return bool(self._choice.filter.text)
        if action == "replay":
            return row is not None
        return action not in ("priors", "tags", "archive") or (row is not None and not row.on)

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Offer the actions of the run under the cursor, and show its tags."""
        self._show_bar()
        self.refresh_bindings()

    # Choosing

    def action_filter(self) -> None:
        """Ask which runs to show."""
        found: list[RunFilter] = []
        self.app.push_screen(
            Prompt(
                "Show only runs with:",
                self._choice.filter.text,
                "words, tag:good status:paused task:circle host:gpu1 is:archived; empty shows all",
                check=lambda text: found.append(parse_run_filter(text, self._choice.archived)),
            ),
            lambda text: self._choose(found[-1]) if text is not None else None,
        )

    def action_back(self) -> None:
        """Show all runs again."""
        self._choose(parse_run_filter("", self._choice.archived))

    def action_archived(self) -> None:
        """Show archived runs too, or leave them out again."""
        self._choice.archived = not self._choice.archived
        self._choose(parse_run_filter(self._choice.filter.text, self._choice.archived))

    def _choose(self, wanted: RunFilter) -> None:
        self._choice.filter = wanted
        self._show()

    def action_tags(self) -> None:
        """Ask for the run's tags."""
        row = self._list.selected
        if row is not None:
            self.app.push_screen(
                Prompt(
                    f"Tags of '{one_line(row.name, 60)}':",
                    "".join(f"{tag} " for tag in row.tags),
                    "words, separated by spaces; empty (ctrl+u): none",
                    check=parse_tags,
                    act=lambda text: set_tags(row.folder, parse_tags(text)),
                    adds=True,
                ),
                lambda _: self._watch.wake(),
            )

    def action_archive(self) -> None:
        """Archive the run, or list it again."""
        row = self._list.selected
        if row is not None:
            self._in_thread(lambda: archive_run(row.folder, not row.archived))
            again = "is listed again" if row.archived else "is archived: A shows archived runs, a lists it again"
            self.say(f"'{one_line(row.name, 60)}' {again}")

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
        there = {row.folder for row in self._here if not row.trouble}
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
        if row is None or row.trouble:
            return
        if row.on:
            open_there(self, row.on, self._hosts[row.on], ["replay", str(row.folder)])
        else:
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
