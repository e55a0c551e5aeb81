"""The view of a run that Live and Replay share: status, population, panels, and the keys to look around."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer

from engine.errors import UsageError
from engine.state.node import Node
from engine.text import one_line
from tui.model.query import Query, QueryError, parse_query
from tui.model.status import status_cells
from tui.screens.area import ActionArea
from tui.screens.dialogs import Prompt
from tui.session import ModelChange, Session
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.painted import Throttle
from tui.widgets.panels import NodePeek, NotesPanel, PlotPanel, WorkPanel
from tui.widgets.rates import RatesPanel
from tui.widgets.rows import RowsView
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel

if TYPE_CHECKING:
    from tui.widgets.transport import TransportBar

__all__ = ["Pace", "RunView"]

_PANELS = ("plot", "work", "notes", "peek", "rates", "writing")
_QUERY_HINT = "words, status:ok op:tune score>2.6 round:10..40 is:pinned #12"


class Pace(NamedTuple):
    """The least seconds between two paintings of a part: a reader gains nothing from more."""

    tree: float = 0.2
    followed: float = 0.5
    """Of the tree while it follows a node."""
    status: float = 0.25
    plot: float = 0.5
    work: float = 0.5
    transport: float = 0.5


class RunView(ActionArea):
    """A run as its session knows it: a status line, the tree on the left, panels on the right or below.

    Args:
        session: the run.
        pace: how often each part is painted at most.
        transport: a bar below the status line.
    """

    SCOPED_CSS = False
    DEFAULT_CSS = """
    RunView #body { height: 1fr; visibility: hidden; }
    RunView #left { width: 3fr; }
    RunView #left > * { visibility: visible; }
    RunView #side { width: 2fr; border-left: solid $look-border; visibility: visible; }
    App.-plain RunView #side { border-left: ascii $look-border; }
    RunView #tree { height: 1fr; }
    RunView #plot { height: 11; }
    RunView #work { height: 8; }
    RunView #peek { height: 9; }
    RunView #notes { height: 1fr; }
    RunView #rates, RunView #writing { display: none; }
    RunView.-has-rates #rates, RunView.-has-writing #writing { display: block; }
    RunView #writing { height: 7; }
    RunView.-has-writing #plot { height: 9; }
    RunView.-has-writing #work { height: 6; }
    RunView.-has-writing #peek { height: 6; }
    .-short RunView #plot { height: 8; }
    .-short RunView #work { height: 5; }
    .-short RunView #peek { display: none; }
    .-narrow RunView #body { layout: vertical; }
    .-narrow RunView #left { width: 100%; height: 1fr; }
    .-narrow RunView #side { width: 100%; height: 9; border-left: none; border-top: solid $look-border; }
    App.-plain .-narrow RunView #side { border-left: none; border-top: ascii $look-border; }
    .-narrow RunView #side > *, .-narrow RunView.-has-rates #side > #rates,
    .-narrow RunView.-has-writing #side > * { display: none; height: 1fr; }
    .-narrow RunView.-show-plot #plot, .-narrow RunView.-show-work #work,
    .-narrow RunView.-show-notes #notes, .-narrow RunView.-show-peek #peek,
    .-narrow RunView.-show-rates #side > #rates, .-narrow RunView.-has-writing.-show-plot #side > #plot,
    .-narrow RunView.-has-writing.-show-work #side > #work,
    .-narrow RunView.-has-writing.-show-writing #side > #writing,
    .-narrow RunView.-has-writing.-show-rates #side > #rates,
    .-narrow RunView.-has-writing.-show-notes #side > #notes,
    .-narrow RunView.-has-writing.-show-peek #side > #peek { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "search", "Search", id="tree.search", key_display="/", tooltip="Go to the next node that matches"
        ),
        Binding("n", "next(1)", "Next", id="tree.next", show=False, tooltip="The next node that matches"),
        Binding("N", "next(-1)", "Before", id="tree.before", show=False, tooltip="The node before that matches"),
        Binding(
            "ampersand", "filter", "Filter", id="tree.filter", key_display="&", tooltip="Show only the nodes that match"
        ),
        Binding("v", "panel", "Panel", id="live.panel", tooltip="The next panel, if only one fits"),
        Binding("W", "writing", "Writing", id="live.writing", tooltip="The answers that models are writing"),
    ]

    def __init__(self, session: Session, pace: Pace, transport: TransportBar | None = None) -> None:
        super().__init__()
        self._session = session
        self._transport = transport
        self.tree_view = TreeView()
        self._plot = PlotPanel(id="plot")
        self._work = WorkPanel(id="work")
        self._notes = NotesPanel(id="notes")
        self._peek = NodePeek(id="peek")
        self._rates = RatesPanel(id="rates")
        self._writing = WritingPanel(id="writing")
        self._status = StatusBar(id="status")
        self._head = Title("Population", id="head")
        self._panel = 0
        self._rates_rows = 0
        self._search: Query | None = None
        self._clock: Timer | None = None
        self._offered: tuple[str, bool] = ("", False)
        self.ready = False
        """Whether the run was painted, so that the user has seen the node that a key acts on."""
        self._refused = False
        self._draw_tree = Throttle(self, pace.tree, self._paint_tree)
        self._draw_followed = Throttle(self, pace.followed, self._paint_tree)
        self._draw_status = Throttle(self, pace.status, self._paint_status)
        self._draw_plot = Throttle(self, pace.plot, self._plot.repaint)
        self._draw_work = Throttle(self, pace.work, self._paint_work)
        self._draw_transport = Throttle(self, pace.transport, self._paint_transport)
        self._draw_notes = Throttle(self, 1.0, self._paint_notes)
        self._draw_peek = Throttle(self, 0.25, self._paint_peek)
        self._draw_writing = Throttle(self, 1.0, self._paint_writing)
        self._draw_rates = Throttle(self, 1.0, self._paint_rates)

    def compose(self) -> ComposeResult:
        """Compose status, transport, tree, panels."""
        yield self._status
        if self._transport is not None:
            yield self._transport
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield self._head
                yield self.tree_view
            with Vertical(id="side"):
                yield self._plot
                yield self._work
                yield self._writing
                yield self._rates
                yield self._notes
                yield self._peek

    def on_mount(self) -> None:
        """Subscribe to the session."""
        self.add_class(f"-show-{_PANELS[self._panel]}")
        self.tree_view.focus()
        self._session.subscribe(self._changed)
        self._clock = self.set_interval(1.0, self._tick, pause=True)
        self._changed(ModelChange(frozenset(), reset=True))

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self._session.unsubscribe(self._changed)

    def on_key(self, event: events.Key) -> None:
        """Refuse keys that act on nodes until the nodes have been painted, and say so."""
        if self.ready:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.binding.id and active.binding.id.startswith(("node.", "tree.", "rows.")):
            event.stop()
            event.prevent_default()
            self._refused = True
            self.say("reading the run…", "best")

    def _seen(self) -> None:
        self.ready = True
        if self._refused:
            self.screen.query_one(Footer).hush()

    # Changes of the session

    def _changed(self, change: ModelChange) -> None:
        model = self._session.model
        self._run_clock()
        if model is not None:
            self.tree_view.take(change, model)
            self._plot.take(change, model)
        if not self.screen.is_current:
            # Behind a question the view stands still; when it closes, everything is painted.
            return
        if change.reset:
            self.paint_all()
            return
        if "tree" in change.parts:
            (self._draw_followed if self.tree_view.following else self._draw_tree)()
            self._draw_peek()
        if "scores" in change.parts:
            self._draw_plot()
        if "rounds" in change.parts:
            self._draw_work()
        if "writing" in change.parts:
            self._draw_writing()
        if "notes" in change.parts:
            self._draw_notes()
        if "rates" in change.parts and (self._session.is_moving or change.parts - {"rates"}):
            # While nothing goes on, telemetry alone is not painted: an idle screen writes no byte.
            self._draw_rates()
        if change.parts - {"rates", "writing"}:
            self._draw_status()
        self._draw_transport()

    def _run_clock(self) -> None:
        """Let the clock run only while the run moves: an idle screen writes no byte."""
        if self._clock is not None:
            if self._session.is_moving:
                self._clock.resume()
            else:
                self._clock.pause()

    def _tick(self) -> None:
        if self.screen.is_current:
            self._draw_work()
            self._draw_status()
            self._draw_transport()

    # Painting

    @property
    def _now(self) -> int | None:
        return self._session.feed.now_ms() if self._session.is_moving else None

    def paint_all(self) -> None:
        """Paint every part."""
        self._run_clock()
        if self._session.model is not None and not self.ready:
            self.call_after_refresh(self._seen)
        self._paint_tree()
        self._paint_status()
        self._plot.repaint()
        self._paint_work()
        self._paint_notes()
        self._paint_peek()
        self._paint_rates()
        self._paint_writing()
        self._paint_transport()

    def fit(self) -> None:
        """Fit the parts to a new size of the screen: the status line now, all others once they have their size."""
        self._paint_status()
        self.call_after_refresh(self.paint_all)

    def _paint_tree(self) -> None:
        if self.screen.is_current:
            self.tree_view.sync()
            self._paint_head()

    def _paint_head(self) -> None:
        tree = self.tree_view
        shown = {"tree": "", "best": "best first ", "newest": "newest first "}[tree.order]
        if tree.query_ is not None:
            shown += f"only {tree.query_.text} "
        model = self._session.model
        # If a row has two numbers, name them.
        columns = "fitness, score  " if model is not None and model.state.ranking.by_fitness else ""
        followed = f"  follows the {tree.following}" if tree.following else ""
        counts = model.state.counts if model is not None else {}
        failed = sum(count for status, count in counts.items() if status != "ok")
        self._head.show(
            (" Population  ", "heading"), (columns, "dim"), (shown, "accent"), (tree.position, "plain"),
            (f"  {failed:,} failed" if failed else "", "dim"), (followed, "accent"),
        )  # fmt: skip

    def _paint_status(self) -> None:
        session = self._session
        self._status.show(
            status_cells(
                session.run.name,
                session.model,
                session.status,
                session.doing,
                session.trouble,
                self._now,
                self.screen.size.width,
            )
        )
        offered = (session.status, bool(session.model))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _paint_transport(self) -> None:
        if self._transport is not None and self.screen.is_current:
            self._transport.show(self._session.model)

    def _paint_work(self) -> None:
        if self._session.model is not None:
            self._work.show(self._session.model, self._session.alive, self._now)

    def _paint_notes(self) -> None:
        if self._session.model is not None:
            self._notes.show(self._session.model)

    def _paint_peek(self) -> None:
        if self._session.model is not None and self._peek.display:
            self._peek.show(self._session.model, self.tree_view.selected)

    def _paint_writing(self) -> None:
        """Show the panel from a model's first word on, and keep it: a layout pass for each call would cost more."""
        model = self._session.model
        if model is not None and self.screen.is_current:
            if model.streams and not self.has_class("-has-writing"):
                self.add_class("-has-writing")
                self.refresh_bindings()
            if self.has_class("-has-writing"):
                self._writing.show(model, self._session.alive)

    def _paint_rates(self) -> None:
        if self._session.model is not None and self.screen.is_current:
            rows = self._rates.show(self._session.model)
            if rows != self._rates_rows:
                # As high as its rows; without rows it is hidden.
                self._rates_rows = rows
                self._rates.styles.height = rows
                self.set_class(rows > 0, "-has-rates")

    # Looking around

    @property
    def chosen(self) -> Node | None:
        """The node under the cursor."""
        return self.tree_view.selected

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the node under the cursor in its panel."""
        self._paint_head()
        self._draw_peek()

    def on_tree_view_view_changed(self, event: TreeView.ViewChanged) -> None:
        """Show the tree's order, filter and follow in its title."""
        self._paint_head()
        self._draw_peek()

    def go_to(self, node: int) -> None:
        """Put the cursor on a node."""
        if self.tree_view.selected is None or self.tree_view.selected.id != node:
            self.tree_view.go_to(node)

    def on_tree_view_opened(self, event: TreeView.Opened) -> None:
        """Open the node."""
        self.navigator.show_node(event.node)

    def clear_filter(self) -> bool:
        """Show all nodes again; return whether a filter hid some."""
        if self.tree_view.query_ is None:
            return False
        self.tree_view.set_filter(None)
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the panel key only if one panel fits, and the writing only if a model has written."""
        if action == "writing":
            return self.has_class("-has-writing")
        if action == "panel":
            return self.screen.size.width < 100
        return True

    def action_panel(self) -> None:
        """Show the next panel."""
        self.remove_class(f"-show-{_PANELS[self._panel]}")
        absent = {"rates"} if not self._rates_rows else set()
        if not self.has_class("-has-writing"):
            absent.add("writing")
        self._panel = (self._panel + 1) % len(_PANELS)
        while _PANELS[self._panel] in absent:
            self._panel = (self._panel + 1) % len(_PANELS)
        self.add_class(f"-show-{_PANELS[self._panel]}")
        self.call_after_refresh(self.paint_all)

    def action_writing(self) -> None:
        """Open the answers that models are writing."""
        self.navigator.show_writing()

    def _ask_for_nodes(self, question: str, text: str, hint: str, use: Callable[[Query | None], None]) -> None:
        """Ask for a query until it parses or the user gives up; pass it to `use`, None if it is empty."""
        model = self._session.model
        if model is None:
            return
        metrics, score = model.metrics, model.state.ranking.metric
        asked: list[Query | None] = []

        def parse(answer: str) -> None:
            try:
                asked.append(parse_query(answer, model.is_marked, metrics, score) if answer.strip() else None)
            except QueryError as exc:
                raise UsageError(str(exc)) from None

        self.app.push_screen(
            Prompt(question, text, hint, check=parse), lambda answer: use(asked[-1]) if answer is not None else None
        )

    def action_filter(self) -> None:
        """Ask for a filter of nodes."""
        text = self.tree_view.query_.text if self.tree_view.query_ is not None else ""
        metrics = "".join(f" {one_line(name, 30)}" for name in islice(self._metrics, 5))
        hint = f"{_QUERY_HINT}{', metrics:' if metrics else ''}{metrics}; empty shows all"
        self._ask_for_nodes("Show only:", text, hint, self.tree_view.set_filter)

    @property
    def _metrics(self) -> Iterable[str]:
        return self._session.model.metrics if self._session.model is not None else ()

    def action_search(self) -> None:
        """Ask for a query to search."""
        text = self._search.text if self._search is not None else ""
        self._ask_for_nodes("Search:", text, _QUERY_HINT, self._find)

    def _find(self, query: Query | None) -> None:
        if query is not None:
            self._search = query
            self.action_next(1)

    def action_next(self, step: int) -> None:
        """Go to the next node that matches, folded ones included."""
        model, tree = self._session.model, self.tree_view
        if model is None or self._search is None:
            self.action_search()
            return
        order = tree.search_order()
        here = tree.selected
        start = order.index(here.id) if here is not None and here.id in order else 0
        for offset in range(1, len(order) + 1):
            node = model.state.nodes[order[(start + step * offset) % len(order)]]
            if self._search(node):
                tree.go_to(node.id)
                return
        self.say(f"no node matches '{self._search.text}'", "best")
