"""The view of a run that Live and Replay share: status, population, panels, and the keys to look around."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget

from engine.state.node import Node
from engine.workspace import workspace
from tui.model.status import status_cells
from tui.screens.area import ActionArea
from tui.screens.marked import COMPARE, MARK, compare_marked, mark_node
from tui.screens.node_finder import NodeFinder, ask_for_csv
from tui.screens.note import act_on_note
from tui.screens.panels import VIEW_CSS, Panels
from tui.screens.population_head import population_head
from tui.session import ModelChange, Session
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.minimap import MiniMap
from tui.widgets.notes import NotesPanel
from tui.widgets.painted import Throttle
from tui.widgets.panels import NodePeek, WorkPanel
from tui.widgets.plot import PlotPanel
from tui.widgets.rates import RatesPanel
from tui.widgets.rows import RowsView
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel

if TYPE_CHECKING:
    from tui.widgets.transport import TransportBar

__all__ = ["Pace", "RunView"]


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
    DEFAULT_CSS = VIEW_CSS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "search", "Search", id="tree.search", key_display="/", tooltip="Go to the next node that matches"
        ),
        Binding("n", "next(1)", "Next", id="tree.next", show=False, tooltip="The next node that matches"),
        Binding("N", "next(-1)", "Before", id="tree.before", show=False, tooltip="The node before that matches"),
        Binding(
            "ampersand", "filter", "Filter", id="tree.filter", key_display="&", tooltip="Show only the nodes that match"
        ),
        Binding("v", "panel", "Panel", id="live.panel", tooltip="The next panel, if only one is shown"),
        Binding(
            "Z",
            "enlarge",
            "Enlarge",
            id="live.enlarge",
            show=False,
            tooltip="Show one panel alone, or all of them again",
        ),
        MARK,
        COMPARE,
    ]

    def __init__(self, session: Session, pace: Pace, transport: TransportBar | None = None) -> None:
        super().__init__()
        self._session = session
        self._transport = transport
        self.tree_view = TreeView(session.marked)
        self._plot = PlotPanel(id="plot")
        self._work = WorkPanel(id="work")
        self._notes = NotesPanel(id="notes")
        self._peek = NodePeek(id="peek")
        self._rates = RatesPanel(id="rates")
        self._writing = WritingPanel(id="writing")
        self._status = StatusBar(id="status")
        self._head = Title("Population", id="head")
        self._heads = Title(id="columns")
        self._map = MiniMap(id="map")
        self._panels = Panels(self, workspace() / "state" / "layout.json")
        self._plot.choices = self._panels.plots
        self._rates_size: tuple[int, int | str] = 0, 0
        self._finder = NodeFinder(self, session, self.tree_view)
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
        self._draw_map = Throttle(self, 5.0, self._paint_map)
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
                yield self._heads
                yield self.tree_view
            yield self._map
            with Vertical(id="side"):
                yield self._plot
                yield self._work
                yield self._writing
                yield self._rates
                yield self._notes
                yield self._peek

    def on_mount(self) -> None:
        """Subscribe to the session."""
        (self._part if self._panels.large else self.tree_view).focus()
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
        if change.parts - {"rates", "writing", "output"}:
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
            if self._writing.reads:
                self._draw_writing()

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
        self._paint_map()
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
            self._draw_map()

    def _paint_map(self) -> None:
        tree, model = self.tree_view, self._session.model
        if model is not None and self._map.display and self._map.size.width and self.screen.is_current:
            self._map.show(model, tree.rows, tree.top, tree.size.height, tree.cursor)

    def _point_in_map(self) -> None:
        if self._map.display:
            self._map.point(self.tree_view.top, self.tree_view.size.height, self.tree_view.cursor)

    def _paint_head(self) -> None:
        tree = self.tree_view
        if tree.table is not None:
            self._heads.show(*tree.table.header(tree.size.width))
        self.set_class(tree.table is not None, "-table")
        self._head.show(*population_head(tree, self._session.model))

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
        # Nothing is written then, and the reason says what to do.
        self.set_class(session.status == "paused" and bool(session.model and session.model.state.reason), "-waits")
        # Nobody works on a run that has ended, so that its notes get the rows.
        self.set_class(session.status in ("finished", "stopped", "failed"), "-over")
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
        selected = self.tree_view.selected
        self._plot.point(selected.id if selected is not None else None)
        if self._session.model is not None and self._peek.display:
            self._peek.show(self._session.model, selected)

    def _paint_writing(self) -> None:
        """Show the panel from a run's first call on, and keep it: a layout pass for each call would cost more."""
        model = self._session.model
        if model is not None and self.screen.is_current:
            if (model.streams or (self._session.alive and model.state.calls)) and not self.has_class("-has-writing"):
                self.add_class("-has-writing")
                self.refresh_bindings()
            if self.has_class("-has-writing"):
                self._writing.show(model, self._session.alive, self._now)

    def _paint_rates(self) -> None:
        if self._session.model is not None and self.screen.is_current:
            rows = self._rates.show(self._session.model)
            # As high as its rows; without rows it is hidden.
            height = "1fr" if self._panels.large else rows
            if (rows, height) != self._rates_size:
                self._rates_size = rows, height
                self._rates.styles.height = height
                self.set_class(rows > 0, "-has-rates")

    # Looking around

    @property
    def chosen(self) -> Node | None:
        """The node under the cursor."""
        return self.tree_view.selected

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the node under the cursor in its panel."""
        self._paint_head()
        self._point_in_map()
        self._draw_peek()

    def on_tree_view_view_changed(self, event: TreeView.ViewChanged) -> None:
        """Show the tree's order, filter and follow in its title."""
        self._paint_head()
        self._paint_map()
        self._draw_peek()

    def on_notes_panel_chosen(self, event: NotesPanel.Chosen) -> None:
        """Read a note, copy it, or go to its node."""
        if event.act != "node":
            act_on_note(self, event.act, event.note)
        elif event.note.node is None:
            self.say("this note is about the run, not about a node", "best")
        else:
            self.go_to(event.note.node)

    def on_tree_view_export_wanted(self, event: TreeView.ExportWanted) -> None:
        """Ask for a file, and write the rows there."""
        ask_for_csv(self, f"{self._session.run.name}-nodes.csv", self.tree_view)

    def go_to(self, node: int) -> None:
        """Put the cursor on a node."""
        if self.tree_view.selected is None or self.tree_view.selected.id != node:
            self.tree_view.go_to(node)

    def on_mini_map_picked(self, event: MiniMap.Picked) -> None:
        """Go to the row that was clicked in the map."""
        self.tree_view.go(event.row)

    def on_plot_panel_picked(self, event: PlotPanel.Picked) -> None:
        """Follow the plot's cursor in the tree."""
        self.go_to(event.node)

    def on_plot_panel_arranged(self, event: PlotPanel.Arranged) -> None:
        """Keep what the plots show."""
        self._panels.keep()

    def on_plot_panel_opened(self, event: PlotPanel.Opened) -> None:
        """Open the node under the plot's cursor."""
        self.navigator.show_node(event.node)

    def on_tree_view_opened(self, event: TreeView.Opened) -> None:
        """Open the node."""
        self.navigator.show_node(event.node)

    def step_back(self) -> bool:
        """Undo one thing that narrows the view: an enlarged panel, the focus on a panel, a filter; return whether."""
        if self._panels.large:
            self.action_enlarge()
            return True
        if not self.tree_view.has_focus:
            self.tree_view.focus()
            return True
        if self.tree_view.query_ is None:
            return False
        self.tree_view.set_filter(None)
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the panel key only if one panel fits."""
        if action == "panel":
            return self.screen.size.width < 100 or bool(self._panels.large)
        return True

    @property
    def _part(self) -> Widget:
        """The part that is enlarged, or the tree."""
        return self.query_one(f"#{self._panels.large or 'tree'}")

    def action_panel(self) -> None:
        """Show the next panel."""
        absent = {"rates"} if not self._rates_size[0] else set()
        if not self.has_class("-has-writing"):
            absent.add("writing")
        self._panels.turn(absent)
        self._arrange()

    def action_enlarge(self) -> None:
        """Show the part with the focus alone; if one is shown alone, show all."""
        focused = self.screen.focused
        self._panels.enlarge("" if self._panels.large else (focused.id if focused else "") or "tree")
        self._arrange()

    def _arrange(self) -> None:
        """Paint the parts at their new sizes, and let one that is seen have the keys."""
        if self._panels.large or self.screen.focused is None or not self.screen.focused.is_on_screen:
            self._part.focus()
        self.refresh_bindings()
        self.call_after_refresh(self.paint_all)

    def action_mark(self) -> None:
        """Mark the node under the cursor to compare it, or take the mark away."""
        if self.chosen is not None:
            mark_node(self, self._session, self.chosen.id)
            self.tree_view.repaint()

    def action_compare_marked(self) -> None:
        """Compare the marked nodes."""
        compare_marked(self, self._session)

    def action_filter(self) -> None:
        """Ask for a filter of nodes."""
        self._finder.filter()

    def action_search(self) -> None:
        """Ask for a query to search."""
        self._finder.search()

    def action_next(self, step: int) -> None:
        """Go to the next node that matches, folded ones included."""
        self._finder.next(step)
