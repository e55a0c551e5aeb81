"""Whatever happens to a widget, and whenever frames come: what they have shown is what one painting would show.

All cases stand in one file, so that the last test finds the widget that has none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognition.entry import Entry, Revision
from cognition.prior import Prior
from cognition.retrieve import Hit
from engine.journal import events as ev
from engine.journal.live import LiveRow
from engine.journal.reader import JournalReader
from engine.priors.recorded import RecordedPrior
from engine.runs.calls import CallEntry
from engine.state.ranking import Figures, Ranking
from tests.tui.pilot import press
from tests.tui.stage import SIZE, Stage, staged
from tests.tui.synthetic import HOSTILE, Synthesizer, make_run
from tui.feed.replay import ReplayFeed
from tui.feed.run_row import RunRow
from tui.layout import PlotChoice
from tui.model.document import Span, clean_line
from tui.model.event_index import EventIndex
from tui.model.prior_list import PriorRow, Use
from tui.model.program_files import Change, ProgramFile
from tui.model.query import parse_query
from tui.model.run_model import fold_model
from tui.model.run_settings import setting_rows
from tui.model.status import Cell, status_cells
from tui.screens.calls import CallRows
from tui.screens.ideas import IdeaList
from tui.screens.prior_history import RevisionsView
from tui.screens.recorded_priors import RecordedList
from tui.screens.run_settings import RunSettingsView
from tui.screens.runs import RunsView
from tui.screens.settings import SettingsView
from tui.session import ModelChange
from tui.settings import TuiSettings
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.files import FileList
from tui.widgets.hints import HintBar
from tui.widgets.minimap import MiniMap
from tui.widgets.notes import NotesPanel
from tui.widgets.painted import Painted, Piece
from tui.widgets.panel import Panel
from tui.widgets.panels import NodePeek, WorkPanel
from tui.widgets.plot import PlotPanel
from tui.widgets.priors import Found, PriorsView
from tui.widgets.rates import RatesPanel
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView
from tui.widgets.transport import TransportBar
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel

Step = Callable[[int], object]
Steps = dict[str, Step]
"""What can happen to a widget, by name; each takes a number and makes of it what it likes."""
Case = Callable[[Any], Steps]
"""Begins a widget's story anew and gives its steps."""

TEXTS = (
    "",
    "a",
    "seed",
    "tune STEPS",
    "exchange relax() for the first ring of circles",
    "漢字 wide",
    "é\u0301 x",
    HOSTILE,
)
SIZES = (SIZE, (30, 5), (50, 12), (40, 14), (12, 3), (24, 10))


OFTEN = ("events", "change", "piece", "sync", "show", "repaint", "frame")
"""What happens more often than anything else: news, its taking, a frame."""


class Story:
    """A run that goes on, and a model of it."""

    def __init__(self, hostile: bool = False) -> None:
        self.pen = Synthesizer(seed=3, hostile=hostile, rates=True)
        self.model = fold_model(self.pen.begin())

    def go_on(self, count: int) -> ModelChange:
        """Let some events happen."""
        events = tuple(event for _ in range(count) for event in self.pen.advance())
        return self.write(*events)

    def write(self, *events: ev.Event) -> ModelChange:
        """Fold events in."""
        parts = {part for event in events for part in self.model.apply(event)}
        return ModelChange(frozenset(parts), events)

    def mark(self, number: int) -> ModelChange:
        """Have a person mark a node."""
        kinds = (ev.NodeStarred, ev.NodePinned, ev.NodePruned, ev.NodeRestored)
        kind: Any = kinds[number % len(kinds)]
        return self.write(self.pen.event(kind(), node=number % len(self.model.state.nodes)))


def tree(widget: TreeView) -> Steps:
    story = Story(hostile=True)
    widget.following, widget.order, widget.query_, widget.table = "", "tree", None, None
    widget.top = widget.cursor = 0
    widget.take(ModelChange(frozenset(), reset=True), story.model)
    widget.sync()
    moves = (widget.action_first, widget.action_last, widget.action_best, widget.action_follow, widget.action_order)
    tables = (widget.action_table, widget.action_turn_over, widget.action_order)
    folds = (widget.action_fold, widget.action_fold_all, widget.action_out, widget.action_into)

    def filtered(number: int) -> None:
        text = ("", "status:ok", "op:tune")[number % 3]
        widget.set_filter(parse_query(text, story.model.is_marked) if text else None)

    return {
        "events": lambda number: widget.take(story.go_on(number), story.model),
        "mark": lambda number: widget.take(story.mark(number), story.model),
        "sync": lambda number: widget.sync(),
        "move": lambda number: widget.action_move(number - 4),
        "page": lambda number: widget.action_page(1 if number % 2 else -1),
        "go": lambda number: moves[number % len(moves)](),
        "table": lambda number: tables[number % len(tables)](),
        "fold": lambda number: folds[number % len(folds)](),
        "filter": filtered,
    }


def plot(widget: PlotPanel) -> Steps:
    story = Story()
    widget.choices, widget._windows, widget._current = [PlotChoice()], [None], 0
    widget.take(ModelChange(frozenset(), reset=True), story.model)
    widget.repaint()
    names = ("add", "drop", "turn", "best", "all", "measure(1)", "axis", "scale", "pan(1)")
    return {
        "events": lambda number: widget.take(story.go_on(3 * number), story.model),
        "repaint": lambda number: widget.repaint(),
        "point": lambda number: widget.point(number * len(story.model.state.nodes) // 10),
        "key": lambda number: press(widget, names[number % len(names)]),
        "zoom": lambda number: widget.action_zoom(0.5 if number % 3 else 2),
        "step": lambda number: (widget.action_step, widget.action_leap)[number % 2](1 if number < 5 else -1),
    }


def work(widget: WorkPanel) -> Steps:
    story = Story(hostile=True)
    return {
        "events": story.go_on,
        "show": lambda number: widget.show(
            story.model, number != 5, story.pen.at + 777 * number if number % 2 else None
        ),
    }


def notes(widget: NotesPanel) -> Steps:
    story = Story(hostile=True)
    widget._filter, widget._skip = "all", 0
    widget._begin()
    names = ("first", "last", "filter(1)", "shift(1)")
    return {
        "events": lambda number: story.go_on(3 * number),
        "show": lambda number: widget.show(story.model),
        "move": lambda number: widget.action_move(number - 4),
        "key": lambda number: press(widget, names[number % len(names)]),
    }


def peek(widget: NodePeek) -> Steps:
    story = Story(hostile=True)

    def show(number: int) -> None:
        nodes = story.model.state.nodes
        widget.show(story.model, nodes[-1 - number % len(nodes)] if number < 9 else None)

    return {"events": story.go_on, "show": show}


def rates(widget: RatesPanel) -> Steps:
    story = Story()

    def telemetry(number: int) -> None:
        values = {"cpu": number / 10, "cores": 16.0, "load": 1.7 * number, "gpu0.util": 1 - number / 10}
        story.write(story.pen.event(ev.Telemetry(values, ["NVIDIA H100 80GB HBM3"])))

    return {
        "events": lambda number: story.go_on(4 * number),
        "telemetry": telemetry,
        "show": lambda number: widget.show(story.model),
    }


def writing(widget: WritingPanel) -> Steps:
    story = Story()
    story.write(*(story.pen.event(ev.CallStarted(call, "researcher", "fast", "0" * 64), 1) for call in (1, 2)))
    written = iter(range(1, 1 << 30))

    def piece(number: int) -> None:
        text = ("def relax(", "centers)\n", "\n\n", "    return 漢字\n", "x" * 70, HOSTILE)[number % 6]
        data = {"call": 1 + number % 2, "role": "researcher", "round": 1, "model": "fast", "text": text}
        row = LiveRow(next(written), story.pen.at, "stream", 1, data | ({"thought": True} if number == 7 else {}))
        story.model.take_live([row])

    def end(number: int) -> None:
        story.model.streams.pop(1 + number % 2, None)

    return {"piece": piece, "end": end, "show": lambda number: widget.show(story.model, number != 5, None)}


def _moves(widget: RowsView) -> Steps:
    return {
        "move": lambda number: widget.action_move(number - 4),
        "page": lambda number: widget.action_page(1 if number % 2 else -1),
        "last": lambda number: widget.action_last(),
    }


def calls_list(widget: CallRows) -> Steps:
    entries: list[CallEntry] = []
    widget.show(entries)

    def ask(number: int) -> None:
        call = len(entries) + 1
        done = None
        if number % 3:
            fault = "network" if number == 4 else ""
            done = ev.CallDone(
                call, "researcher", "fast", tokens_in=number * 400, tokens_cached=number * 100, estimated=number == 5,
                error=HOSTILE if fault else "", fault=fault,
            )  # fmt: skip
        started = ev.CallStarted(call, TEXTS[number % len(TEXTS)], "fast")
        entries.insert(0, CallEntry(started, call * 1000, number or None, None, done))
        widget.show(list(entries))

    return {"ask": ask, **_moves(widget)}


def ideas(widget: IdeaList) -> Steps:
    story = Story(hostile=True)
    widget.model, widget.rows, widget.cursor, widget.top = story.model, [], 0, 0

    def add(number: int) -> None:
        story.go_on(number)
        widget.rows = list(range(0, len(story.model.state.nodes), 1 + number % 2))

    return {**_moves(widget), "events": add, "repaint": lambda number: widget.repaint()}


def recorded(widget: RecordedList) -> Steps:
    def change(number: int) -> None:
        state, text = ("on", "disabled", "removed")[number % 3], TEXTS[number % len(TEXTS)]
        prior = RecordedPrior(f"p{number}", text, number, text, number * 400, number, state)
        widget.found = [*widget.found[: 30 - number], (prior, number, None if number % 3 else number - 4.5)]

    widget.found, widget.cursor, widget.top = [], 0, 0
    return {**_moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


def file_list(widget: FileList) -> Steps:
    def show(number: int) -> None:
        changes = get_args(Change)
        widget.show([
            ProgramFile(f"{at}/{TEXTS[at * number % len(TEXTS)]}", at * 999, changes[(at + number) % 4], at, number)
            for at in range(number * 2)
        ])  # fmt: skip

    widget.show([])
    return {"show": show, "move": lambda number: widget.move(number - 4)}


def runs_list(widget: RunsView) -> Steps:
    rows: list[RunRow] = []
    widget.show(rows)

    def change(number: int) -> None:
        name = f"{TEXTS[number % len(TEXTS)]}-{number}".replace("/", "_")
        best = Figures(number / 7, number / 9 or None)
        ranking, way = Ranking(by_fitness=number % 4 == 1), number / 9 if number % 3 == 2 else None
        row = RunRow(Path(name), "running", "task", number, 100, number * 7, best, ranking, to_record=way)
        rows.insert(number % (len(rows) + 1), row)
        if number == 9:
            del rows[1:]

    return {**_moves(widget), "change": change, "show": lambda number: widget.show(list(rows)), "mark": _mark(widget)}


def _mark(widget: RunsView) -> Step:
    def mark(number: int) -> None:
        row = widget.selected
        if row is not None:
            widget.marked[row.folder] = None
            widget.action_move(1)
            widget.repaint()

    return mark


def priors(widget: PriorsView) -> Steps:
    found: list[Found] = []
    widget.show(found, " no prior", None)

    def change(number: int) -> None:
        prior = Prior(
            f"p{number}", TEXTS[number % len(TEXTS)], "", "", ("tag",), weight=number / 3, enabled=number != 4
        )
        entry = Entry(prior, "human", "active", number == 6, {}, "", (), 0, 0, "file", "")
        hit = Hit(prior, number / 10, "words: relax") if number % 3 == 0 else None
        found.insert(number % (len(found) + 1), Found(PriorRow(entry, Use(number, 1, number - 4.5, None, number)), hit))
        if number == 9:
            del found[1:]

    return {
        **_moves(widget),
        "change": change,
        "show": lambda number: widget.show(list(found), " no prior", f"p{number}"),
    }


def revisions(widget: RevisionsView) -> Steps:
    def change(number: int) -> None:
        text = clean_line(TEXTS[number % len(TEXTS)])
        new = Revision(len(widget.revisions) + 1, text, "0" * 64, number * 10**9, "human", text)
        widget.revisions = [new, *widget.revisions][: 30 - number]

    widget.revisions, widget.cursor, widget.top = [], 0, 0
    return {**_moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


def settings_list(widget: SettingsView) -> Steps:
    def change(number: int) -> None:
        widget.settings = TuiSettings(theme=("evolve-dark", "ansi-16")[number % 2], bell=number > 4, mouse=number > 6)

    return {**_moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


def text_view(widget: TextView) -> Steps:
    def show(number: int) -> None:
        texts = [clean_line(f"{index} {TEXTS[index * number % len(TEXTS)]}") for index in range(number * 4)]
        widget.show([(Span(text[:3], "keyword"), Span(text[3:])) for text in texts], keep_place=number > 5)

    widget.show([])
    return {
        "show": show,
        "scroll": lambda number: widget.action_scroll(number - 4),
        "page": lambda number: widget.action_page(1 if number % 2 else -1),
        "shift": lambda number: widget.action_shift(16 if number % 2 else -16),
        "find": lambda number: widget.find("tune", backwards=number > 5),
    }


def transport(widget: TransportBar) -> Steps:
    model = fold_model(Synthesizer().begin())
    feed: Any = widget._feed

    def play(number: int) -> None:
        feed.playing, feed.speed = number % 2 == 0, (1, 50, 1000)[number % 3]

    def seek(number: int) -> None:
        model.state.seq = feed.position = feed.index.last * number // 9

    return {"play": play, "seek": seek, "show": lambda number: widget.show(model)}


def status_bar(widget: StatusBar) -> Steps:
    story = Story()

    def show(number: int) -> None:
        now = story.pen.at + number * 999
        width = widget.size.width
        widget.show(status_cells("a-run", story.model, "running", "pausing…" * (number == 3), "", now, width))

    def other(number: int) -> None:
        widget.show([Cell(clean_line(text), 9, "best") for text in TEXTS[number % 4 :]])

    return {"events": story.go_on, "show": show, "other": other}


def title(widget: Title) -> Steps:
    def show(number: int) -> None:
        widget.show((clean_line(TEXTS[number % len(TEXTS)]), "heading"), (f" {number}", "dim"))

    return {"show": show}


def run_settings(widget: RunSettingsView) -> Steps:
    state = Story().model.state
    widget.items, widget.cursor, widget.top = setting_rows(state, {}), 0, 0
    return {"move": lambda number: widget.action_move(number - 4), "repaint": lambda number: widget.repaint()}


def mini_map(widget: MiniMap) -> Steps:
    story = Story()
    rows = story.model.forest.rows
    widget.show(story.model, rows, 0, 5, 0)
    return {
        "events": lambda number: story.go_on(number % 9),
        "point": lambda number: widget.point(number, 1 + number % 5, number * 2),
        "show": lambda number: widget.show(
            story.model, story.model.forest.rows, number % 40, 1 + number % 7, number % len(story.model.forest.rows)
        ),
    }


def footer(widget: Footer) -> Steps:
    return {
        "say": lambda number: widget.say(clean_line(TEXTS[number % len(TEXTS)]), "bad", 1000),
        "hush": lambda number: widget.hush(),
    }


def hints(widget: HintBar) -> Steps:
    return {"repaint": lambda number: widget.repaint()}


CASES: dict[type[Painted], Case] = {
    TreeView: tree, PlotPanel: plot, WorkPanel: work, NotesPanel: notes, NodePeek: peek, RatesPanel: rates,
    WritingPanel: writing, RunsView: runs_list, CallRows: calls_list, PriorsView: priors, RevisionsView: revisions,
    SettingsView: settings_list, TextView: text_view, TransportBar: transport, StatusBar: status_bar, Title: title,
    Footer: footer, HintBar: hints, RunSettingsView: run_settings, FileList: file_list,
    IdeaList: ideas, RecordedList: recorded, MiniMap: mini_map,
}  # fmt: skip


def _make(kind: type[Painted], folder: Path) -> Painted:
    if kind is TransportBar:
        run = make_run(folder / "run", 60)
        feed = ReplayFeed(run)
        feed.index = EventIndex()
        with JournalReader(run.db) as reader:
            feed.index.extend(reader)
        return TransportBar(feed)
    if kind is SettingsView:
        return SettingsView(TuiSettings())
    return kind()


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
async def test_partial_frames_equal_one_full_painting(kind: type[Painted], tmp_path: Path) -> None:
    async with staged(_make(kind, tmp_path)) as stage:
        _check(stage, CASES[kind])


def _check(stage: Stage, begin: Case) -> None:
    widget = stage.widget
    names = (*begin(widget), "frame", "resize", "hear", "theme")
    names += tuple(name for name in names if name in OFTEN) * 4

    @given(st.lists(st.tuples(st.sampled_from(names), st.integers(0, 9)), min_size=15, max_size=40))
    def check(told: list[tuple[str, int]]) -> None:
        stage.resize(*SIZE)
        stage.hear()
        steps = begin(widget)
        for name, number in told:
            if name == "frame":
                stage.frame()
            elif name == "resize":
                stage.resize(*SIZES[number % len(SIZES)])
            elif name == "hear":
                stage.hear()
            elif name == "theme":
                widget.notify_style_update()
            else:
                steps[name](number)
        stage.check()

    check()


class Line(Painted):
    """One text."""

    text = ""

    def row_pieces(self, y: int) -> Sequence[Piece]:
        return [(self.text, "plain")] if y == 0 else []


async def test_change_before_a_frame_is_painted_by_a_later_one() -> None:
    async with staged(Line()) as stage:
        line: Line = stage.widget
        line.text = "#1 tune STEPS"
        line.repaint()
        stage.frame()
        # The frame writes the first cells only, since no other has changed when the row was taken.
        line.text = "#2 tune STEPS"
        line.repaint()
        line.text = "#2 tune SHRINK"
        stage.frame()
        stage.check()


class Numbers(RowsView):
    """Forty rows."""

    def count(self) -> int:
        return 40

    def item_pieces(self, index: int) -> Sequence[Piece]:
        return [(str(index), "plain")]


async def test_cursor_of_a_list_stays_in_view_when_the_list_gets_lower() -> None:
    async with staged(Numbers()) as stage:
        numbers: Numbers = stage.widget
        stage.resize(20, 10)
        stage.hear()
        numbers.go(9)
        stage.resize(20, 4)
        stage.hear()
        assert numbers.top <= 9 < numbers.top + 4
        stage.check()


def _kinds(kind: type[Painted]) -> Iterator[type[Painted]]:
    for below in kind.__subclasses__():
        yield from _kinds(below)
        if below.__module__.startswith("tui.") and below not in (RowsView, Panel):
            yield below


def test_every_painted_widget_is_tested() -> None:
    import tui.screens.compare  # noqa: F401

    kinds = set(_kinds(Painted))
    assert kinds == set(CASES), [inspect.getfile(kind) for kind in kinds ^ set(CASES)]
