"""What can happen to each list, and to each page of text."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from cognition.entry import Entry, Revision
from cognition.prior import Prior
from cognition.retrieve import Hit
from engine.journal import events as ev
from engine.priors.recorded import RecordedPrior
from engine.runs.calls import CallEntry
from engine.state.ranking import Figures, Ranking
from tests.tui.painting_story import TEXTS, Step, Steps, Story, moves
from tests.tui.synthetic import HOSTILE
from tui.feed.run_row import RunRow
from tui.model.document import Span, clean_line
from tui.model.prior_list import PriorRow, Use
from tui.model.program_files import Change, ProgramFile
from tui.model.run_settings import setting_rows
from tui.screens.calls import CallRows
from tui.screens.ideas import IdeaList
from tui.screens.prior_history import RevisionsView
from tui.screens.recorded_priors import RecordedList
from tui.screens.run_settings import RunSettingsView
from tui.screens.runs import RunsView
from tui.screens.settings import SettingsView
from tui.settings import TuiSettings
from tui.widgets.files import FileList
from tui.widgets.priors import Found, PriorsView
from tui.widgets.text_view import TextView


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

    return {"ask": ask, **moves(widget)}


def ideas(widget: IdeaList) -> Steps:
    story = Story(hostile=True)
    widget.model, widget.rows, widget.cursor, widget.top = story.model, [], 0, 0

    def add(number: int) -> None:
        story.go_on(number)
        widget.rows = list(range(0, len(story.model.state.nodes), 1 + number % 2))

    return {**moves(widget), "events": add, "repaint": lambda number: widget.repaint()}


def recorded(widget: RecordedList) -> Steps:
    def change(number: int) -> None:
        state, text = ("on", "disabled", "removed")[number % 3], TEXTS[number % len(TEXTS)]
        prior = RecordedPrior(f"p{number}", text, number, text, number * 400, number, state)
        widget.found = [*widget.found[: 30 - number], (prior, number, None if number % 3 else number - 4.5)]

    widget.found, widget.cursor, widget.top = [], 0, 0
    return {**moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


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

    return {**moves(widget), "change": change, "show": lambda number: widget.show(list(rows)), "mark": _mark(widget)}


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
        **moves(widget),
        "change": change,
        "show": lambda number: widget.show(list(found), " no prior", f"p{number}"),
    }


def revisions(widget: RevisionsView) -> Steps:
    def change(number: int) -> None:
        text = clean_line(TEXTS[number % len(TEXTS)])
        new = Revision(len(widget.revisions) + 1, text, "0" * 64, number * 10**9, "human", text)
        widget.revisions = [new, *widget.revisions][: 30 - number]

    widget.revisions, widget.cursor, widget.top = [], 0, 0
    return {**moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


def settings_list(widget: SettingsView) -> Steps:
    def change(number: int) -> None:
        widget.settings = TuiSettings(theme=("evolve-dark", "ansi-16")[number % 2], bell=number > 4, mouse=number > 6)

    return {**moves(widget), "change": change, "repaint": lambda number: widget.repaint()}


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


def run_settings(widget: RunSettingsView) -> Steps:
    state = Story().model.state
    widget.items, widget.cursor, widget.top = setting_rows(state, {}), 0, 0
    return {"move": lambda number: widget.action_move(number - 4), "repaint": lambda number: widget.repaint()}
