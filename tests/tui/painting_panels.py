"""What can happen to each part of the view of a run."""

from __future__ import annotations

from typing import Any

from engine.journal import events as ev
from engine.journal.live import LiveRow
from tests.tui.painting_story import TEXTS, Steps, Story
from tests.tui.pilot import press
from tests.tui.synthetic import HOSTILE, Synthesizer
from tui.layout import PlotChoice
from tui.model.document import clean_line
from tui.model.query import parse_query
from tui.model.run_model import fold_model
from tui.model.status import Cell, status_cells
from tui.session import ModelChange
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.hints import HintBar
from tui.widgets.minimap import MiniMap
from tui.widgets.notes import NotesPanel
from tui.widgets.panels import NodePeek, WorkPanel
from tui.widgets.plot import PlotPanel
from tui.widgets.rates import RatesPanel
from tui.widgets.transport import TransportBar
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel


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
