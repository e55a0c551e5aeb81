"""Whatever happens to a widget, and whenever frames come: what they have shown is what one painting would show.

All cases stand in one table, so that the last test finds the widget that has none.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal.reader import JournalReader
from tests.tui.painting_lists import (
    calls_list,
    file_list,
    ideas,
    priors,
    recorded,
    revisions,
    run_settings,
    runs_list,
    settings_list,
    text_view,
)
from tests.tui.painting_panels import (
    footer,
    hints,
    mini_map,
    notes,
    peek,
    plot,
    rates,
    status_bar,
    title,
    transport,
    tree,
    work,
    writing,
)
from tests.tui.painting_story import OFTEN, SIZES, Case
from tests.tui.stage import SIZE, Stage, staged
from tests.tui.synthetic import make_run
from tui.feed.replay import ReplayFeed
from tui.model.event_index import EventIndex
from tui.screens.calls import CallRows
from tui.screens.ideas import IdeaList
from tui.screens.prior_history import RevisionsView
from tui.screens.recorded_priors import RecordedList
from tui.screens.run_settings import RunSettingsView
from tui.screens.runs import RunsView
from tui.screens.settings import SettingsView
from tui.settings import TuiSettings
from tui.widgets.bars import Footer, StatusBar, Title
from tui.widgets.files import FileList
from tui.widgets.hints import HintBar
from tui.widgets.minimap import MiniMap
from tui.widgets.notes import NotesPanel
from tui.widgets.painted import Painted, Piece
from tui.widgets.panel import Panel
from tui.widgets.panels import NodePeek, WorkPanel
from tui.widgets.picture_view import PictureView
from tui.widgets.plot import PlotPanel
from tui.widgets.priors import PriorsView
from tui.widgets.rates import RatesPanel
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView
from tui.widgets.transport import TransportBar
from tui.widgets.tree import TreeView
from tui.widgets.writing import WritingPanel

CASES: dict[type[Painted], Case] = {
    TreeView: tree, PlotPanel: plot, WorkPanel: work, NotesPanel: notes, NodePeek: peek, RatesPanel: rates,
    WritingPanel: writing, RunsView: runs_list, CallRows: calls_list, PriorsView: priors, RevisionsView: revisions,
    SettingsView: settings_list, TextView: text_view, TransportBar: transport, StatusBar: status_bar, Title: title,
    Footer: footer, HintBar: hints, RunSettingsView: run_settings, FileList: file_list,
    IdeaList: ideas, RecordedList: recorded, MiniMap: mini_map, PictureView: text_view,
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
