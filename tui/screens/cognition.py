"""Cognition: the priors of a run's task, their use and gain, and everything to do with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import UsageError
from engine.runs.folder import Run
from engine.text import one_line
from engine.workspace import workspace
from tui.drafts import drafts_of
from tui.feed.priors import PriorDesk, Shelf, place_to_read
from tui.model.document import prose_lines, text_lines
from tui.model.markdown import markdown_lines
from tui.model.prior_documents import about_lines
from tui.model.prior_list import ORDERS, arranged, parse_filter
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt, check_number
from tui.screens.prior_actions import PriorActions
from tui.screens.prior_editor import Edited, PriorEditor
from tui.screens.recorded_priors import RecordedPriorsScreen
from tui.session import Session
from tui.widgets.bars import Title
from tui.widgets.priors import Found, PriorsView, columns, why_of
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from cognition.retrieve import Hit

__all__ = ["CognitionScreen"]

_TABS = ("Text", "About")
_FILTER_HINT = "words, is:on is:off is:pending is:gone is:removed is:rejected tag:word; empty shows all"
_HITS = 20


class CognitionScreen(BaseScreen):
    """The priors that a run reads.

    Args:
        run: the run.
        runs: the folder of the runs, whose journals tell what each prior was worth.
        session: the session that shows the run; None if none does.
        node: the node to search priors for at first.
    """

    DEFAULT_CSS = """
    CognitionScreen #priors { height: 2fr; }
    CognitionScreen #text { height: 3fr; padding: 0 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "search",
            "Search",
            id="priors.search",
            key_display="/",
            tooltip="Find priors by words, and show why",
        ),
        Binding(
            "n",
            "for_node",
            "For node",
            id="priors.for_node",
            tooltip="The priors that retrieval finds for a node now, and why",
        ),
        Binding(
            "ampersand",
            "filter",
            "Filter",
            id="priors.filter",
            key_display="&",
            tooltip="Show only the priors that match",
        ),
        Binding("s", "sort", "Sort", id="priors.sort", tooltip="By title, gain, uses, weight, when last shown"),
        Binding("A", "put_away", "All", id="priors.all", show=False, tooltip="Show removed and rejected priors too"),
        Binding("tab", "turn", "About", id="priors.tab", tooltip="Its text, or its origin, use and gain"),
        Binding(
            "j",
            "recorded",
            "Recorded",
            id="priors.recorded",
            show=False,
            tooltip="The priors as the run's journal has them",
        ),
        Binding("right", "shift(16)", "Right", id="priors.right", show=False, tooltip="See more of long lines"),
        Binding("left", "shift(-16)", "Left", id="priors.left", show=False, tooltip="Back to the start of the lines"),
        Binding("J", "scroll(1)", "Scroll", id="priors.down", show=False, tooltip="The text a page down"),
        Binding("K", "scroll(-1)", "Scroll", id="priors.up", show=False, tooltip="The text a page up"),
        Binding("escape", "back", "Back", id="priors.back", tooltip="Clear search and filter, or back"),
    ]

    title_ = "Cognition"
    about = (
        "Knowledge of people and analyzers about the task. Saving writes the prior's file at once, and the next learn "
        "stage of any run of the task reads it, running or paused; the run's notes tell from which round it is used.\n"
        "● on, ○ off, ✗ its file is gone, ? proposed and waiting, * an unsaved text.\n"
        "shown: designs that saw it; used: nodes it went into; gain: their mean gain over the parent.\n"
        "Searches here go by words alone (BM25); the engine also weighs meaning, and draws some."
    )

    def __init__(self, run: Run, runs: Path, session: Session | None = None, node: int | None = None) -> None:
        super().__init__()
        self.run = run
        self.session = session
        self._for_node = node
        self._trouble = ""
        self._order = ORDERS[0]
        self._filter = ""
        self._all = False
        self._asked = ""
        """The query, in words for the title."""
        self._asked_texts: list[str] = []
        self._hits: list[Hit] | None = None
        self._chosen = 0
        """How many of the hits a round would use; 0 if the search was not for a node."""
        self._tab = 0
        self._held: str | None = None
        self.drafts_folder = workspace() / "drafts"
        self._offered = False
        self._state: tuple[object, ...] = ()
        self._head = Title(" Priors", id="head")
        self._columns = Title(id="columns")
        self._list = PriorsView()
        self._tabs = Title(id="tabs")
        self._text = TextView(id="text")
        state = session.model.state if session is not None and session.model is not None else None
        self._desk = PriorDesk(lambda: place_to_read(run, state), runs, self._post, self._changed, self._failed)
        self._actions = PriorActions(self._desk, self._list, self.drafts_folder)

    def compose_body(self) -> ComposeResult:
        """Compose title, list, then the prior under the cursor."""
        with self._actions:
            yield self._head
            yield self._columns
            yield self._list
            yield self._tabs
            yield self._text

    def on_mount(self) -> None:
        """Start the desk."""
        self._text.can_focus = False
        self._list.focus()
        self._desk.start()
        if self._for_node is not None:
            self._look_for(self._for_node)
        self._paint()

    def on_unmount(self) -> None:
        """Stop the desk."""
        self._desk.stop()

    def on_screen_resume(self) -> None:
        """Show changes that came behind another screen."""
        self._read_drafts()
        self._arrange()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the bars to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._arrange)

    # Reports of the desk

    class DeskCall(Message):
        """The desk asks the screen to call a function."""

        def __init__(self, call: Callable[[], None]) -> None:
            super().__init__()
            self.call = call

    def _post(self, call: Callable[[], None]) -> None:
        # Runs in the desk's thread; posting is safe from there and does not wait.
        self.post_message(self.DeskCall(call))

    def on_cognition_screen_desk_call(self, event: DeskCall) -> None:
        """Call it."""
        event.call()

    def _changed(self, shelf: Shelf) -> None:
        first, self._actions.shelf, self._trouble = self._actions.shelf is None, shelf, ""
        if first:
            self._read_drafts()
        self._arrange()
        if self._asked_texts and not first:
            self._run_search()
        if first and not shelf.rows and not shelf.place.folder.is_dir() and self.is_current:
            # A run from elsewhere has its priors in its journal, and nowhere else on this machine.
            self.app.switch_screen(RecordedPriorsScreen(self.run, self.session))
            return
        for screen in self.app.screen_stack:
            if isinstance(screen, PriorEditor):
                screen.update_entry(self._actions.entry(screen.prior_id))

    def _failed(self, why: str) -> None:
        self._trouble = why
        self._paint()

    def _read_drafts(self) -> None:
        if self._actions.shelf is None:
            return
        place = self._actions.shelf.place
        self._actions.drafts = drafts_of(self.drafts_folder, str(place.base), place.collection)
        self._list.drafts = self._actions.drafts
        if self._actions.drafts and not self._offered:
            self._offered = True
            names = ", ".join(sorted(self._actions.drafts))
            self.say(f"unsaved text of {one_line(names, 60)}; u continues it", "best", 10.0)

    def on_prior_actions_acted(self, event: PriorActions.Acted) -> None:
        """Put the cursor on the prior that was changed."""
        self._held = event.prior_id
        self._arrange()

    def on_edited(self, event: Edited) -> None:
        """Put the cursor on the prior that the editor has saved."""
        self._held = event.entry.id
        self._arrange()
        self.say(event.said, "bad" if event.is_doubtful else "ok", 12.0 if event.is_doubtful else 8.0)

    # Painting

    def _arrange(self) -> None:
        """Show the rows in their order, or the hits, and paint."""
        rows = self._actions.shelf.rows if self._actions.shelf is not None else ()
        selected = self._list.selected
        held, self._held = self._held or (selected.entry.id if selected is not None else None), None
        if self._hits is not None:
            known = {row.entry.id: row for row in rows}
            hits = [Found(known[hit.prior.id], hit) for hit in self._hits if hit.prior.id in known]
            self._list.show(hits, " no enabled prior has any of these words", held)
        elif self._actions.shelf is not None:
            passes = parse_filter(self._filter) if self._filter else (lambda row: True) if self._all else None
            found = [Found(row) for row in arranged(rows, self._order, passes)]
            empty = " no prior passes the filter" if rows and self._filter else " no prior yet: press a to write one"
            if not self._actions.shelf.place.folder.is_dir():
                empty = " no prior: their folder is not on this machine; r shows them as the run recorded them"
            self._list.show(found, empty, held)
        self._paint()

    def _paint(self) -> None:
        shelf, width = self._actions.shelf, self.size.width
        if self._trouble:
            self._head.show((" Priors ", "heading"), (one_line(self._trouble, 300), "bad"))
        elif shelf is not None:
            waiting = sum(row.state == "pending" for row in shelf.rows)
            pieces = [(" Priors ", "heading"), (f"of {one_line(shelf.place.task, 40)}  ", "accent")]
            if self._hits is not None:
                pieces.append((f"{self._list.count()} for {one_line(self._asked, 50)}, by words only", "best"))
            else:
                active = sum(row.state in ("on", "off", "gone") for row in shelf.rows)
                pieces.append((f"{active}, by {self._order}  ", "plain"))
                if self._filter or self._all:
                    pieces.append((f"{self._list.count()} shown: {one_line(self._filter or 'all', 40)}  ", "accent"))
            if waiting:
                pieces.append((f"  {waiting} proposed", "best"))
            broken = sum(bool(row.problem) for row in shelf.rows)
            if broken:
                pieces.append((f"  {broken} broken: & is:broken", "bad"))
            if shelf.problems:
                pieces.append((f"  ! {one_line('; '.join(shelf.problems), 300)}", "bad"))
            self._head.show(*pieces)
        self._columns.show((columns(width, self._hits is not None), "dim"))
        self._show_text()

    def _show_text(self) -> None:
        row, width = self._list.selected, max(20, self.size.width - 2)
        model = self.session.model if self.session is not None else None
        pieces = [("  ", "plain")]
        for index, name in enumerate(_TABS):
            pieces += [(f" {name} ", "cursor" if index == self._tab else "dim"), (" ", "plain")]
        if row is not None:
            entry = row.entry
            said = f"  {entry.id}.md  revision {entry.prior.number}"
            pieces.append((said, "dim"))
            if entry.prior.tags:
                pieces.append((f"  {one_line(', '.join(entry.prior.tags), 60)}", "accent"))
        self._tabs.show(*pieces)
        hit = self._list.found[self._list.cursor].hit if row is not None else None
        if row is None:
            lines = text_lines(str(self._actions.shelf.place.folder), "dim") if self._actions.shelf is not None else []
        elif self._tab == 0:
            lines = markdown_lines(row.entry.prior.text, width)
        else:
            metric = model.state.spec.metric if model is not None else ""
            lines = about_lines(row, model, self.run.name, metric, width)
        if row is not None and hit is not None:
            rank = self._list.cursor + 1
            taken = f"match {rank}, a round takes {self._chosen}" if self._chosen else f"match {rank}"
            lines = [*prose_lines(f"{taken}: {why_of(hit)}", width, "accent"), (), *lines]
        if row is not None and row.problem:
            lines = [*prose_lines(f"! {row.problem}", width, "bad"), (), *lines]
        state = (row.entry.id if row is not None else None, self._tab)
        self._text.show(lines, keep_place=state == self._state[:2])
        offered = (*state, row.state if row is not None else "", bool(self._actions.drafts), bool(self._hits))
        if offered != self._state:
            self._state = offered
            self.refresh_bindings()

    def on_rows_view_moved(self, event: PriorsView.Moved) -> None:
        """Show the prior under the cursor."""
        self._show_text()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer sort and filter only without a search, whose hits have their own order."""
        if action in ("sort", "filter"):
            return self._hits is None
        return True

    # Looking around

    def action_back(self) -> None:
        """Clear the search, then the filter, then go back."""
        if self._hits is not None or self._asked_texts:
            self._hits, self._asked_texts = None, []
            self._arrange()
        elif self._filter or self._all:
            self._filter, self._all = "", False
            self._arrange()
        else:
            self.app.pop_screen()

    def action_turn(self) -> None:
        """Show the other tab."""
        self._tab = (self._tab + 1) % len(_TABS)
        self._show_text()

    def action_scroll(self, pages: int) -> None:
        """Scroll the text by pages."""
        self._text.action_page(pages)

    def action_shift(self, cells: int) -> None:
        """Shift the text to the right, or back."""
        self._text.action_shift(cells)

    def action_recorded(self) -> None:
        """Show the priors as the run's journal has them."""
        self.app.push_screen(RecordedPriorsScreen(self.run, self.session))

    def action_sort(self) -> None:
        """Use the next order."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        self._arrange()

    def action_put_away(self) -> None:
        """Show or hide removed and rejected priors."""
        self._all = not self._all
        self._arrange()

    def action_filter(self) -> None:
        """Ask for a filter."""
        self.app.push_screen(Prompt("Show only:", self._filter, _FILTER_HINT, check=_check_filter), self._set_filter)

    def _set_filter(self, text: str | None) -> None:
        if text is not None:
            self._filter = text.strip()
            self._arrange()

    def action_search(self) -> None:
        """Ask for words to search."""
        hint = "words, a lesson, a question: found by words among the priors that are on, best first"
        self.app.push_screen(Prompt("Search the priors:", self._asked, hint), self._search)

    def _search(self, text: str | None) -> None:
        if text and text.strip():
            self._asked, self._asked_texts, self._chosen = text.strip(), [text], 0
            self._run_search()

    def action_for_node(self) -> None:
        """Ask for a node to search priors for."""
        if self.session is None or self.session.model is None:
            self.say("open the run first: C shows its priors from there", "best")
            return
        best = self.session.model.state.best
        self.app.push_screen(
            Prompt("What would be found now for node:", str(best or 0), check=self._check_node),
            lambda text: self._look_for(int(text)) if text and text.strip() else None,
        )

    def _check_node(self, text: str) -> None:
        check_number(text)
        model = self.session.model if self.session is not None else None
        if text.strip() and (model is None or model.node(int(text)) is None):
            raise UsageError(f"there is no node {text.strip()}")

    def _look_for(self, number: int) -> None:
        """Search as a learn stage would for one context node: by its lesson and the newest hints."""
        model = self.session.model if self.session is not None else None
        node = model.node(number) if model is not None else None
        if node is None or model is None:
            self.say(f"there is no node {number}", "bad")
            return
        self._asked = f"node #{number}"
        self._asked_texts = [node.lesson or node.motivation, *model.state.newest_hints]
        self._chosen = model.state.settings.retrieval.top_k
        self._run_search()

    def _run_search(self) -> None:
        self._desk.search(self._asked_texts, _HITS, self._found, self._actions.refuse)

    def _found(self, hits: list[Hit]) -> None:
        if self._asked_texts:
            first, self._hits = self._hits is None, hits
            if first:
                self._list.cursor = self._list.top = 0
                self._held = hits[0].prior.id if hits else None
            self._arrange()


def _check_filter(text: str) -> None:
    try:
        parse_filter(text)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
