"""The priors of a run as its journal has them: to be read, and to be copied into a base of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from cognition.store import CognitionError
from engine.errors import EvolveError, UsageError
from engine.journal.reader import JournalReader
from engine.priors.recorded import Copied, RecordedPrior, copy_priors, recorded_priors
from engine.runs.folder import Run
from engine.text import one_line
from tui.model.labels import fit
from tui.model.markdown import markdown_lines
from tui.model.prior_gains import gain_lines, gains_by_prior
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt, check_words
from tui.session import Session
from tui.widgets.bars import Title
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView

__all__ = ["RecordedPriorsScreen"]

_SIGNS = {"on": ("●", "ok"), "disabled": ("○", "dim"), "removed": ("x", "dim")}


class RecordedList(RowsView):
    """Recorded priors, one per row."""

    empty = " reading the journal…"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.found: list[tuple[RecordedPrior, int, float | None]] = []
        """Each with how many nodes it went into, and their mean change on their parents."""

    def count(self) -> int:
        """Return the number of priors."""
        return len(self.found)

    @property
    def selected(self) -> RecordedPrior | None:
        """The prior under the cursor."""
        return self.found[self.cursor][0] if self.cursor < len(self.found) else None

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return state, title, revision, use and gain."""
        prior, used, gain = self.found[index]
        sign, look = _SIGNS[prior.state]
        title = fit(one_line(prior.title or prior.id, 200), max(8, self.size.width - 44))
        change = "–" if gain is None else f"{gain:+.4g}"
        number = str(prior.number or "?")
        return [(f" {sign} ", look), (f"{title}{number:>9}{prior.shown:>8,}{used:>7,}{change:>12}", "plain")]


class RecordedPriorsScreen(BaseScreen):
    """The priors that a run's designs were shown.

    Args:
        run: the run.
        session: the session that shows it; None if none does.
    """

    DEFAULT_CSS = """
    RecordedPriorsScreen #recorded { height: 2fr; }
    RecordedPriorsScreen #text { height: 3fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="recorded.back", tooltip="Back to the run"),
        Binding("a", "copy", "Copy", id="recorded.copy", tooltip="Copy these priors into the base of a task of mine"),
        Binding("J", "scroll(1)", "Scroll", id="recorded.down", show=False, tooltip="The text a page down"),
        Binding("K", "scroll(-1)", "Scroll", id="recorded.up", show=False, tooltip="The text a page up"),
    ]

    title_ = "Priors of the run"
    about = (
        "The priors as the run's journal has them, each in the last text that a design was shown. Nothing here\n"
        "changes them. shown: designs of this run that saw it; used: nodes it went into; gain: their mean change on\n"
        "the parent. a copies them into the base of a task on this machine; what is there already stays as it is."
    )

    def __init__(self, run: Run, session: Session | None = None) -> None:
        super().__init__()
        self.run = run
        self.session = session
        self._head = Title(" Priors as the run recorded them", id="head")
        self._columns = Title(id="columns")
        self.list = RecordedList(id="recorded")
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title, list, then the prior under the cursor."""
        yield self._head
        yield self._columns
        yield self.list
        yield self._text

    def on_mount(self) -> None:
        """Read the journal."""
        self._text.can_focus = False
        self.list.focus()
        model = self.session.model if self.session is not None else None
        upto = model.state.seq if model is not None else 1 << 62

        def work() -> None:
            try:
                with JournalReader(self.run.db) as reader:
                    priors = recorded_priors(reader, upto)
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
            else:
                self.app.call_from_thread(self._read, priors)

        self.run_worker(work, thread=True, group="documents", exit_on_error=False)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the parts to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._paint)

    def _read(self, priors: list[RecordedPrior]) -> None:
        model = self.session.model if self.session is not None else None
        self.list.found = []
        by_prior = gains_by_prior(model) if model is not None else {}
        for prior in priors:
            gains = by_prior.get(prior.id, [])
            known = [gain for _, gain in gains if gain is not None]
            self.list.found.append((prior, len(gains), sum(known) / len(known) if known else None))
        self.list.empty = " no design of this run was shown a prior"
        self._paint()

    def _paint(self) -> None:
        self._head.show(
            (" Priors as the run recorded them  ", "heading"), (f"{self.list.count()}, read-only  ", "accent")
        )
        title = max(8, self.size.width - 44)
        self._columns.show((f"   {'title':<{title}}{'revision':>9}{'shown':>8}{'used':>7}{'gain':>12}", "dim"))
        self.list.repaint()
        prior, width = self.list.selected, max(20, self.size.width - 2)
        model = self.session.model if self.session is not None else None
        lines = markdown_lines(prior.text, width) if prior is not None else []
        if prior is not None and model is not None:
            lines += gain_lines(model, prior.id, width)
        self._text.show(lines)

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the prior under the cursor."""
        self._paint()

    def action_scroll(self, pages: int) -> None:
        """Scroll the text by pages."""
        self._text.action_page(pages)

    def action_copy(self) -> None:
        """Ask for a task, and copy the priors into its base."""
        priors = [prior for prior, _, _ in self.list.found if prior.state != "removed"]
        if not priors:
            self.say("there is no prior to copy", "best")
            return
        done: list[Copied] = []
        model = self.session.model if self.session is not None else None
        name = model.state.start.task if model is not None else ""
        self.app.push_screen(
            Prompt(
                f"Copy {len(priors)} priors into the base of task:",
                name,
                "a built-in task, or a task's folder; priors that it has already stay as they are",
                check=check_words,
                act=lambda task: done.append(_copy(priors, task.strip(), self.run.name)),
            ),
            lambda task: self.say(*_told(done[-1]), 12.0) if task is not None else None,
        )

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()


def _copy(priors: list[RecordedPrior], task: str, run: str) -> Copied:
    """Copy priors into the base of a task; waits for the disk.

    Raises:
        EvolveError: there is no such task, or its base cannot be written.
    """
    # Lazy: reading tasks takes as long to load as the application.
    from engine.priors.place import place_of_task
    from engine.task.load import find_task, load_task

    try:
        return copy_priors(priors, place_of_task(load_task(find_task(task))), run)
    except CognitionError as exc:
        raise UsageError(str(exc)) from None


def _told(copied: Copied) -> tuple[str, str]:
    told = [f"{copied.added} copied"]
    if copied.same:
        told.append(f"{copied.same} were there already")
    if copied.other:
        told.append(f"{len(copied.other)} are there with another text, which stays: {', '.join(copied.other)}")
    if copied.refused:
        told.append(f"{len(copied.refused)} cannot be priors: {copied.refused[0]}")
    return one_line("; ".join(told), 300), "best" if copied.other or copied.refused else "ok"
