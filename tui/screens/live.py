"""Live: the population as it grows, scores, workers, notes; and all that can be asked of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer

from engine.errors import UsageError
from engine.runs.folder import Run
from engine.state.node import Node
from engine.text import one_line
from tui import acts
from tui.model.query import Query, QueryError, parse_query
from tui.model.status import status_cells
from tui.screens.dialogs import Prompt
from tui.screens.steering import SteeringScreen
from tui.session import Change, Session
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.painted import Throttle
from tui.widgets.panels import NodePeek, NotesPanel, PlotPanel, WorkPanel
from tui.widgets.rates import RatesPanel
from tui.widgets.rows import RowsView
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel

__all__ = ["LiveScreen"]

_PANELS = ("plot", "work", "notes", "peek", "rates", "writing")
_QUERY_HINT = "words, status:ok op:tune score>2.6 round:10..40 is:pinned #12"


class LiveScreen(SteeringScreen):
    """The run as it goes."""

    DEFAULT_CSS = """
    LiveScreen #body { height: 1fr; }
    LiveScreen #left { width: 3fr; }
    LiveScreen #side { width: 2fr; border-left: solid $look-border; }
    LiveScreen #tree { height: 1fr; }
    LiveScreen #plot { height: 11; }
    LiveScreen #work { height: 8; }
    LiveScreen #peek { height: 9; }
    LiveScreen #notes { height: 1fr; }
    LiveScreen #rates, LiveScreen #writing { display: none; }
    LiveScreen.-has-rates #rates, LiveScreen.-has-writing #writing { display: block; }
    LiveScreen #writing { height: 7; }
    LiveScreen.-has-writing #plot { height: 9; }
    LiveScreen.-has-writing #work { height: 6; }
    LiveScreen.-has-writing #peek { height: 6; }
    LiveScreen.-short #plot { height: 8; }
    LiveScreen.-short #work { height: 5; }
    LiveScreen.-short #peek { display: none; }
    LiveScreen.-narrow #body { layout: vertical; }
    LiveScreen.-narrow #left { width: 100%; height: 1fr; }
    LiveScreen.-narrow #side { width: 100%; height: 9; border-left: none; border-top: solid $look-border; }
    LiveScreen.-narrow #side > *, LiveScreen.-narrow.-has-rates #side > #rates,
    LiveScreen.-narrow.-has-writing #side > * { display: none; height: 1fr; }
    LiveScreen.-narrow.-show-plot #plot, LiveScreen.-narrow.-show-work #work,
    LiveScreen.-narrow.-show-notes #notes, LiveScreen.-narrow.-show-peek #peek,
    LiveScreen.-narrow.-show-rates #side > #rates, LiveScreen.-narrow.-has-writing.-show-plot #side > #plot,
    LiveScreen.-narrow.-has-writing.-show-work #side > #work,
    LiveScreen.-narrow.-has-writing.-show-writing #side > #writing,
    LiveScreen.-narrow.-has-writing.-show-rates #side > #rates,
    LiveScreen.-narrow.-has-writing.-show-notes #side > #notes,
    LiveScreen.-narrow.-has-writing.-show-peek #side > #peek { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "search", "Search", id="tree.search", key_display="/", tooltip="Go to the next node that fits"
        ),
        Binding("n", "next(1)", "Next", id="tree.next", show=False, tooltip="The next node that fits"),
        Binding("N", "next(-1)", "Before", id="tree.before", show=False, tooltip="The node before that fits"),
        Binding(
            "ampersand", "filter", "Filter", id="tree.filter", key_display="&", tooltip="Show only the nodes that fit"
        ),
        Binding("v", "panel", "Panel", id="live.panel", tooltip="The next panel, where only one fits"),
        Binding("C", "priors", "Priors", id="live.priors", tooltip="What is known of the task: read it, correct it"),
        Binding("W", "writing", "Writing", id="live.writing", tooltip="What models write, as they write it"),
        Binding("T", "replay", "Replay", id="live.replay", show=False, tooltip="Rewind: see how the run went"),
        Binding("F", "fork", "Fork", id="live.fork", show=False, tooltip="Begin a new run at the event that is shown"),
        Binding("escape", "back", "Runs", id="live.back", tooltip="Clear the filter, or back to the runs"),
    ]

    title_ = "Live"
    about = (
        "The population of a run. Each row shows marks, score (or what came instead), and the node below its parent.\n"
        "Where nodes are ranked by their fitness, that stands first, with the score beside it.\n"
        "Marks: ▲ best, ┃ on the best line of descent, ! pinned, * starred, x pruned.\n"
        "Nothing that comes in moves the row you read; f follows the newest or the best node."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._tree = TreeView()
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
        """The run was painted: whoever presses a key has seen the node that it acts on."""
        self._refused = False
        # How often each part is painted at most: what changes fast is not worth more to a reader.
        self._draw_tree = Throttle(self, 0.2, self._paint_tree)
        self._draw_followed = Throttle(self, 0.5, self._paint_tree)
        self._draw_status = Throttle(self, 0.25, self._paint_status)
        self._draw_plot = Throttle(self, 0.5, self._plot.repaint)
        self._draw_work = Throttle(self, 0.5, self._paint_work)
        self._draw_notes = Throttle(self, 1.0, self._paint_notes)
        self._draw_peek = Throttle(self, 0.25, self._paint_peek)
        self._draw_writing = Throttle(self, 1.0, self._paint_writing)
        self._draw_rates = Throttle(self, 1.0, self._paint_rates)

    def compose_body(self) -> ComposeResult:
        """Status, tree on the left, panels on the right or below."""
        yield self._status
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield self._head
                yield self._tree
            with Vertical(id="side"):
                yield self._plot
                yield self._work
                yield self._writing
                yield self._rates
                yield self._notes
                yield self._peek

    def on_mount(self) -> None:
        """Begin to listen."""
        self.add_class(f"-show-{_PANELS[self._panel]}")
        self._tree.focus()
        self.session.subscribe(self._changed)
        self._clock = self.set_interval(1.0, self._tick, pause=True)
        self._changed(Change(frozenset(), reset=True))

    def on_unmount(self) -> None:
        """Stop to listen."""
        self.session.unsubscribe(self._changed)

    def on_screen_resume(self) -> None:
        """Show what changed behind another screen."""
        self._paint_all()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the layout, then the status line, to the size."""
        super().on_resize(event)
        self._paint_status()
        self.call_after_refresh(self._paint_all)

    def on_key(self, event: events.Key) -> None:
        """Refuse to act on nodes that nobody has seen yet, with a word instead of silence."""
        if self.ready:
            return
        active = self.active_bindings.get(event.key)
        if active is not None and active.binding.id and active.binding.id.startswith(("node.", "tree.", "rows.")):
            event.stop()
            event.prevent_default()
            self._refused = True
            self.say("reading the run…", "best")

    def _seen(self) -> None:
        self.ready = True
        if self._refused:
            self.query_one(Footer).hush()

    # What the session says

    def _changed(self, change: Change) -> None:
        model = self.session.model
        self._run_clock()
        if model is not None:
            self._tree.take(change, model)
            self._plot.take(change, model)
        if not self.is_current:
            # Behind a question the view stands still; on return everything is painted.
            return
        if change.reset:
            self._paint_all()
            return
        if "tree" in change.parts:
            (self._draw_followed if self._tree.following else self._draw_tree)()
            self._draw_peek()
        if "scores" in change.parts:
            self._draw_plot()
        if "rounds" in change.parts:
            self._draw_work()
        if "writing" in change.parts:
            self._draw_writing()
        if "notes" in change.parts:
            self._draw_notes()
        if "rates" in change.parts and (self.session.is_moving or change.parts - {"rates"}):
            # Telemetry alone is not painted while nothing goes on: idle means that not a byte is written.
            self._draw_rates()
        if change.parts - {"rates", "writing"}:
            self._draw_status()

    def _run_clock(self) -> None:
        """Let the clock run only while time passes for the run: idle means that not a byte is written."""
        if self._clock is not None:
            if self.session.is_moving:
                self._clock.resume()
            else:
                self._clock.pause()

    def _tick(self) -> None:
        if self.is_current:
            self._draw_work()
            self._draw_status()

    # Painting

    @property
    def _now(self) -> int | None:
        return self.session.feed.now_ms() if self.session.is_moving else None

    def _paint_all(self) -> None:
        if self.session.model is not None and not self.ready:
            self.call_after_refresh(self._seen)
        self._paint_tree()
        self._paint_status()
        self._plot.repaint()
        self._paint_work()
        self._paint_notes()
        self._paint_peek()
        self._paint_rates()
        self._paint_writing()

    def _paint_tree(self) -> None:
        if self.is_current:
            self._tree.sync()
            self._paint_head()

    def _paint_head(self) -> None:
        tree = self._tree
        shown = {"tree": "", "best": "best first ", "newest": "newest first "}[tree.order]
        if tree.query_ is not None:
            shown += f"only {tree.query_.text} "
        model = self.session.model
        # Which number is which, where a row has two of them.
        columns = "fitness, score  " if model is not None and model.state.ranking.by_fitness else ""
        followed = f"  follows the {tree.following}" if tree.following else ""
        counts = model.state.counts if model is not None else {}
        failed = sum(count for status, count in counts.items() if status != "ok")
        self._head.show(
            (" Population  ", "heading"), (columns, "dim"), (shown, "accent"), (tree.position, "plain"),
            (f"  {failed:,} failed" if failed else "", "dim"), (followed, "accent"),
        )  # fmt: skip

    def _paint_status(self) -> None:
        session = self.session
        self._status.show(
            status_cells(
                session.run.name,
                session.model,
                session.status,
                session.doing,
                session.trouble,
                self._now,
                self.size.width,
            )
        )
        offered = (session.status, bool(session.model))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _paint_work(self) -> None:
        if self.session.model is not None:
            self._work.show(self.session.model, self.session.alive, self._now)

    def _paint_notes(self) -> None:
        if self.session.model is not None:
            self._notes.show(self.session.model)

    def _paint_peek(self) -> None:
        if self.session.model is not None and self._peek.display:
            self._peek.show(self.session.model, self._tree.selected)

    def _paint_writing(self) -> None:
        """The panel comes with the first word that a model writes and stays: a layout pass a call would cost more."""
        model = self.session.model
        if model is not None and self.is_current:
            if model.streams and not self.has_class("-has-writing"):
                self.add_class("-has-writing")
                self.refresh_bindings()
            if self.has_class("-has-writing"):
                self._writing.show(model, self.session.alive)

    def _paint_rates(self) -> None:
        if self.session.model is not None and self.is_current:
            rows = self._rates.show(self.session.model)
            if rows != self._rates_rows:
                # As high as what there is to say; without anything it is not there.
                self._rates_rows = rows
                self._rates.styles.height = rows
                self.set_class(rows > 0, "-has-rates")

    # Acting

    @property
    def node(self) -> Node | None:
        """The node under the cursor."""
        return self._tree.selected

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the node under the cursor."""
        self._paint_head()
        self._draw_peek()

    def on_tree_view_looked(self, event: TreeView.Looked) -> None:
        """Show how the tree is looked at."""
        self._paint_head()
        self._draw_peek()

    def go_to(self, node: int) -> None:
        """Put the cursor on a node."""
        if self._tree.selected is None or self._tree.selected.id != node:
            self._tree.go_to(node)

    def on_tree_view_opened(self, event: TreeView.Opened) -> None:
        """Show a node whole."""
        self.navigator.show_node(event.node)

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
        self.call_after_refresh(self._paint_all)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The panel key is of use only where one panel fits; the priors of today are no part of a replay."""
        if action == "priors":
            return not self.session.is_replay
        if action == "writing":
            return self.has_class("-has-writing")
        if action == "panel":
            return self.size.width < 100
        return super().check_action(action, parameters)

    def action_writing(self) -> None:
        """Show what models write."""
        from tui.screens.writing import WritingScreen

        self.app.push_screen(WritingScreen(self.session))

    def action_priors(self) -> None:
        """Show the priors."""
        self.navigator.show_priors(self.session.run)

    def action_replay(self) -> None:
        """See how the run went, beginning where it is now."""
        if self.session.model is not None:
            self.navigator.replay(self.session.run, self.session.model.state.seq, playing=False, came_from_live=True)

    def action_fork(self) -> None:
        """Ask for a name, begin a new run with what was until here, and show it."""
        model, run = self.session.model, self.session.run
        if model is None:
            return
        seq = model.state.seq
        made: list[Run] = []

        def fork(name: str) -> None:
            made.append(acts.fork_run_at(run, self.navigator.runs, seq, name.strip()))

        self.app.push_screen(
            Prompt(f"Fork '{run.name}' at event {seq:,} as:", f"{run.name}-at-{seq}", act=fork),
            lambda _: self._forked(made),
        )

    def _forked(self, made: list[Run]) -> None:
        if made:
            self.navigator.attach(made[0])
            self.navigator.call_after_refresh(
                self.navigator.say, f"'{made[0].name}' is a run of its own; p starts it", "ok"
            )

    def action_back(self) -> None:
        """Clear the filter, or go back to the runs."""
        if self._tree.query_ is not None:
            self._tree.set_filter(None)
        else:
            self.navigator.show_runs()

    def _ask_for_nodes(self, question: str, text: str, hint: str, use: Callable[[Query | None], None]) -> None:
        """Ask for a query, until it can be understood or is given up; None is used where it is empty."""
        model = self.session.model
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
        """Ask which nodes to show."""
        text = self._tree.query_.text if self._tree.query_ is not None else ""
        metrics = "".join(f" {one_line(name, 30)}" for name in islice(self._metrics, 5))
        hint = f"{_QUERY_HINT}{', metrics:' if metrics else ''}{metrics}; empty shows all"
        self._ask_for_nodes("Show only:", text, hint, self._tree.set_filter)

    @property
    def _metrics(self) -> Iterable[str]:
        return self.session.model.metrics if self.session.model is not None else ()

    def action_search(self) -> None:
        """Ask what to look for."""
        text = self._search.text if self._search is not None else ""
        self._ask_for_nodes("Search:", text, _QUERY_HINT, self._find)

    def _find(self, query: Query | None) -> None:
        if query is not None:
            self._search = query
            self.action_next(1)

    def action_next(self, step: int) -> None:
        """Go to the next node that fits, folded ones included."""
        model, tree = self.session.model, self._tree
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
        self.say(f"no node fits '{self._search.text}'", "best")
