"""Ideas: the log of what was tried, what came of it, and what each kind of idea gained."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import UsageError
from engine.state.node import Node
from engine.text import one_line
from tui.model.ideas import KEPT, Kept, idea_lines, is_kept, kind_lines, read_idea
from tui.model.kinds import KINDS
from tui.model.labels import outcome
from tui.model.listing import Listing
from tui.model.moves import operator_look
from tui.model.query import Query, QueryError, parse_query
from tui.model.run_model import RunModel
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Piece, Throttle
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView

__all__ = ["IdeasScreen"]

_TABS = ("Log", *(f"By {kind}" for kind in KINDS))


class IdeaList(RowsView):
    """Ideas in the order in which they were made, two rows each."""

    class Chosen(Message):
        """The user wants to open a node."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    empty = " no idea is to be shown"
    item_rows = 2

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model: RunModel | None = None
        self.rows: list[int] = []

    @property
    def selected(self) -> Node | None:
        """The node under the cursor."""
        if self.model is None or not 0 <= self.cursor < len(self.rows):
            return None
        return self.model.node(self.rows[self.cursor])

    def count(self) -> int:
        """Return the number of ideas."""
        return len(self.rows)

    @property
    def position(self) -> str:
        """The cursor's idea and the number of ideas, as text."""
        return f"idea {self.cursor + 1:,} of {self.count():,}" if self.count() else ""

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the first or the second row of an idea."""
        index = self.index_at(y)
        if self.model is None or index is None:
            return [(self.empty, "dim")] if y == 0 and not self.count() else []
        node = self.model.state.nodes[self.rows[index]]
        idea = read_idea(self.model, node)
        if y % 2:
            return [(f"{'':>8}{idea.verdict:>12}  → ", idea.look), (idea.lesson, "plain")]
        return [
            (f" {f'#{node.id}':<7}{outcome(self.model, node):>9}{idea.change:>11} ", idea.look),
            (f"{one_line(node.operator, 10)} ", operator_look(node.operator)),
            (idea.claim, "plain"),
        ]

    def action_open(self) -> None:
        """Open the node."""
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected.id))


class IdeasScreen(BaseScreen):
    """The ideas of a run.

    Args:
        session: the run.
    """

    DEFAULT_CSS = """
    IdeasScreen #ideas { height: 2fr; }
    IdeasScreen #whole { height: 1fr; padding: 0 1; }
    IdeasScreen #sums { height: 1fr; padding: 0 1; display: none; }
    IdeasScreen.-sums #sums { display: block; }
    IdeasScreen.-sums #ideas, IdeasScreen.-sums #whole, IdeasScreen.-sums #name { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="ideas.back", tooltip="Undo the filter, or go back to the run"),
        Binding("enter", "open", "Open", id="ideas.open", tooltip="Open the node"),
        Binding("tab", "turn(1)", "By kind", id="ideas.tab", tooltip="What each operator, prior and model gained"),
        Binding("shift+tab", "turn(-1)", "Before", id="ideas.tab_before", show=False, tooltip="The tab before"),
        Binding(
            "ampersand",
            "filter",
            "Filter",
            id="ideas.filter",
            key_display="&",
            tooltip="Show only ideas that match: op:tune prior:slsqp model:qwen words",
        ),
        Binding("K", "kept", "Kept", id="ideas.kept", tooltip="Show all ideas, those kept, those not kept"),
    ]

    title_ = "Ideas"
    about = (
        "Each node as an idea: what was claimed, what came of it and how it compares with its parent, what was\n"
        "learnt, and whether it was kept: as a best, or as the parent of others. The newest comes last.\n"
        "tab turns to what the ideas of each operator, prior and model gained; & and K choose which count."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.list = IdeaList(id="ideas")
        self._query: Query | None = None
        self._kept: Kept = ""
        self._tab = 0
        self._listing = Listing(self._passes, "tree", lambda node: (node.id,))
        self._head = Title(id="head")
        self._line = Title(id="name")
        self._whole = TextView(id="whole")
        self._sums = TextView(id="sums")
        self._draw = Throttle(self, 0.5, self._paint)
        self._draw_sums = Throttle(self, 2.0, self._paint_sums)

    def compose_body(self) -> ComposeResult:
        """Compose title, ideas, and the whole text of one."""
        yield self._head
        yield self.list
        yield self._line
        yield self._whole
        yield self._sums

    def on_mount(self) -> None:
        """Show the newest idea."""
        self.list.focus()
        self.session.subscribe(self._changed)
        self._reload()
        self.call_after_refresh(self._to_end)

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self.session.unsubscribe(self._changed)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the texts to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._paint)

    def on_screen_resume(self) -> None:
        """Show changes that came behind another screen."""
        self._paint()

    def _to_end(self) -> None:
        self.list.go(self.list.count() - 1)
        self._paint()

    def _passes(self, node: Node) -> bool:
        model = self.session.model
        if model is None or not node.parents:
            return False  # a seed is no idea
        if self._kept and is_kept(model, node) != (self._kept == "kept"):
            return False
        return self._query is None or self._query(node)

    def _reload(self) -> None:
        """Choose the ideas anew, with the cursor on the same one if it is still there."""
        model, selected = self.session.model, self.list.selected
        self.list.model = model
        self._listing = Listing(self._passes, "tree", lambda node: (node.id,))
        if model is not None:
            self._listing.load(model.state.nodes)
        self.list.rows = self._listing.rows
        if selected is not None and (place := self._place(selected.id)) is not None:
            self.list.cursor = place
        self.list.cursor = max(0, min(self.list.cursor, self.list.count() - 1))
        self.list.show_cursor()

    def _place(self, node: int) -> int | None:
        """Return the row of a node, None if it is not shown; the rows are in the order of their numbers."""
        place = bisect_left(self.list.rows, node)
        return place if place < self.list.count() and self.list.rows[place] == node else None

    def _changed(self, change: ModelChange) -> None:
        model = self.session.model
        if model is None:
            return
        if change.reset or self.list.model is not model:
            self._reload()
            self._to_end()
            return
        touched = {event.node for event in change.events if event.node is not None}
        if not touched:
            return
        at_end = self.list.cursor >= self.list.count() - 1
        selected = self.list.selected
        # A new node makes its parent one that was kept.
        touched |= {node.parents[0] for id_ in touched if (node := model.node(id_)) is not None and node.parents}
        for id_ in touched:
            node = model.node(id_)
            if node is not None:
                self._listing.update(node)
        if at_end:
            self.list.cursor = self.list.count() - 1
        elif selected is not None and (place := self._place(selected.id)) is not None:
            self.list.top += place - self.list.cursor
            self.list.cursor = place
        if self.is_current:
            (self._draw_sums if self._tab else self._draw)()

    def _paint(self) -> None:
        if not self.is_current:
            return
        self.list.show_cursor()
        self.list.repaint()
        self._paint_head()
        if self._tab:
            self._paint_sums()
            return
        node, model = self.list.selected, self.session.model
        if node is None or model is None:
            self._line.show(("", "plain"))
            self._whole.show([])
        else:
            self._line.show(("─" * self.size.width, "dim"))
            self._whole.show(idea_lines(model, node, self.size.width - 2))

    def _paint_head(self) -> None:
        pieces: list[Piece] = [(" Ideas ", "heading")]
        for index, name in enumerate(_TABS):
            pieces += [(f" {name} ", "cursor" if index == self._tab else "dim"), (" ", "plain")]
        chosen = " ".join(filter(None, (self._kept, self._query.text if self._query is not None else "")))
        pieces += [(f" only {chosen} " if chosen else " ", "accent"), (self.list.position, "plain")]
        self._head.show(*pieces)

    def _paint_sums(self) -> None:
        model = self.session.model
        if model is not None and self._tab and self.is_current:
            self._sums.show(kind_lines(model, KINDS[self._tab - 1], self._passes, self.size.width - 3), keep_place=True)
            self._paint_head()

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the idea under the cursor."""
        self._paint()

    def on_idea_list_chosen(self, event: IdeaList.Chosen) -> None:
        """Open the node."""
        self.navigator.show_node(event.node)

    def action_open(self) -> None:
        """Open the node of the idea."""
        if not self._tab:
            self.list.action_open()

    def action_turn(self, step: int) -> None:
        """Show the log, or the sums of another kind."""
        self._tab = (self._tab + step) % len(_TABS)
        self.set_class(self._tab > 0, "-sums")
        (self._sums if self._tab else self.list).focus()
        self._sums.show([])
        self.call_after_refresh(self._paint)

    def action_kept(self) -> None:
        """Show all ideas, those that were kept, or those that were not."""
        self._kept = KEPT[(KEPT.index(self._kept) + 1) % len(KEPT)]
        self._choose()

    def action_filter(self) -> None:
        """Ask for a filter."""
        model = self.session.model
        if model is None:
            return
        asked: list[Query | None] = []

        def parse(text: str) -> None:
            try:
                asked.append(
                    parse_query(
                        text, model.is_marked, model.metrics, model.state.ranking.metric, model.spending.model_of
                    )
                    if text.strip()
                    else None
                )
            except QueryError as exc:
                raise UsageError(str(exc)) from None

        self.app.push_screen(
            Prompt(
                "Show only ideas with:",
                self._query.text if self._query is not None else "",
                "words, op:tune prior:slsqp model:qwen status:failed score>2.6; empty shows all",
                check=parse,
            ),
            lambda text: self._use(asked[-1]) if text is not None else None,
        )

    def _use(self, query: Query | None) -> None:
        self._query = query
        self._choose()

    def _choose(self) -> None:
        self._reload()
        self._paint()

    def action_back(self) -> None:
        """Undo the filter, or go back."""
        if self._query is None and not self._kept:
            self.app.pop_screen()
            return
        self._query, self._kept = None, ""
        self._choose()
