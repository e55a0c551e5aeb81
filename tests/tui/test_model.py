"""What the screens show, as data: queries, lists, plots, status, workers; no terminal."""

from __future__ import annotations

import copy
import random
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.state.node import Node
from tests.tui.synthetic import Synthesizer, story
from tui.model.braille import Canvas
from tui.model.labels import age, fit, marks, outcome, short_score
from tui.model.listing import Listing, Order
from tui.model.query import QueryError, parse_query
from tui.model.rates import device_rows, rate_rows
from tui.model.rounds import work_lines, worker_limit
from tui.model.run_model import Part, RunModel, fold_model
from tui.model.status import status_cells

ROOT = Path(__file__).parents[2]


def model_of(nodes: int = 60, **options: Any) -> RunModel:
    """A folded run."""
    end = options.pop("end", "")
    return fold_model(chain.from_iterable(story(Synthesizer(**options), nodes, end=end)))


@pytest.fixture(scope="module")
def model() -> RunModel:
    """A run of 300 nodes."""
    return model_of(300)


def found(model: RunModel, text: str) -> list[Node]:
    """The nodes that a query finds."""
    query = parse_query(text, model.is_marked, model.metrics)
    return [node for node in model.state.nodes if query(node)]


def test_load_equals_apply_event_by_event() -> None:
    events = list(chain.from_iterable(story(Synthesizer(seed=3), 80)))
    whole, stepwise = fold_model(events), fold_model(events[:1])
    parts: set[Part] = set()
    for event in events[1:]:
        parts.update(stepwise.apply(event))

    assert stepwise.forest.rows == whole.forest.rows
    assert stepwise.best_lineage == whole.best_lineage
    assert stepwise.notes == whole.notes
    assert {"tree", "scores", "rounds", "notes", "status"} <= parts


@pytest.mark.parametrize("name", ["circle_packing_fork", "data_curation_recombine", "linear_attention_recombine"])
def test_apply_names_every_part_that_changes(name: str) -> None:
    before: dict[Part, object] = {}
    with JournalReader(ROOT / "sample_runs" / name / "run.db") as reader:
        model = fold_model(reader.events(upto=1))
        for event in reader.events(after=1, upto=700):
            named = model.apply(event)
            after = _parts_of(model)
            unsaid = {part for part in after if after[part] != before.get(part, after[part])} - set(named)
            assert not unsaid, event
            before = after


def _parts_of(model: RunModel) -> dict[Part, object]:
    nodes = model.state.nodes
    return {
        "tree": [(node.id, node.status, outcome(model, node), marks(model, node)) for node in nodes],
        "scores": ([node.score for node in nodes if node.status], list(model.state.best_steps)),
        "rounds": [line._replace(since=0) for line in work_lines(model.state, model.streams)],
        "notes": len(model.notes),
        "rates": rate_rows(model.state, model.rates) + device_rows(model.state, model.telemetry),
    }


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("status:ok", lambda node: node.status == "ok"),
        ("status:failed", lambda node: node.status not in (None, "ok")),
        ("op:tune", lambda node: node.operator == "tune"),
        ("score>1.05", lambda node: node.score is not None and node.score > 1.05),
        ("score<=1", lambda node: node.score is not None and node.score <= 1),
        ("round:10-20", lambda node: 10 <= node.round <= 20),
        ("round:..5", lambda node: node.round <= 5),
        ("round:10..20", lambda node: 10 <= node.round <= 20),
        ("score:-2..1", lambda node: node.score is not None and node.score <= 1),
        ("#7", lambda node: node.id == 7),
        ("TUNE steps", lambda node: "tune" in node.name + node.lesson and "STEPS" in node.name + node.lesson),
        ("sum_radii>1.1", lambda node: node.metrics.get("sum_radii", 0) > 1.1),
        ("overlap=0 circles:20..30", lambda node: node.metrics.get("overlap") == 0 and "circles" in node.metrics),
        ("status=ok", lambda node: node.status == "ok"),
        ("->", lambda node: "->" in node.name + node.lesson + node.motivation),
        ("prior:hexagonal status:timeout", lambda node: bool(node.priors) and node.status == "timeout"),
    ],
)
def test_queries_choose_nodes(model: RunModel, text: str, test: Any) -> None:
    assert found(model, text) == [node for node in model.state.nodes if test(node)]


def test_queries_choose_nodes_by_mark(model: RunModel) -> None:
    assert [node.id for node in found(model, "is:best")] == sorted(model.best_lineage)
    assert found(model, "is:pinned") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("status:good", "status is one of ok, rejected, invalid"),
        ("status=good", "status is one of ok, rejected, invalid"),
        ("status:", "not ''"),
        ("status>ok", "'status' takes ':'"),
        ("colour:red", "'colour' is not known here; there are status: op: prior: is: score"),
        ("sum_radi<0.1", "'sum_radi' is not known here"),
        ("sum_radi<0.1", "metrics: sum_radii circles overlap seconds"),
        ("valid=1", "'valid' is not known here"),
        ("sum_radii<low", "'low' is not a number (as in sum_radii>2.5"),
        ("score>high", "'high' is not a number"),
        ("is:nice", "is: is one of best"),
        ("round:a-b", "'a-b' is not a number"),
    ],
)
def test_invalid_query_is_refused_with_a_reason(model: RunModel, text: str, told: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse_query(text, model.is_marked, model.metrics)
    assert told in str(refused.value)


def test_metrics_are_named_after_a_seek(model: RunModel) -> None:
    assert list(model.copy().metrics) == list(model.metrics) == ["sum_radii", "circles", "overlap", "seconds"]


@pytest.mark.parametrize("order", ["best", "newest", "tree"])
def test_updated_list_equals_the_sorted_list(order: Order) -> None:
    first, *events = chain.from_iterable(story(Synthesizer(seed=5), 120))
    model = fold_model([first])
    query = parse_query("status:ok", model.is_marked)
    listing = Listing(query, order)
    for event in events:
        model.apply(event)
        if event.node is not None:
            listing.update(model.state.nodes[event.node])

    anew = Listing(query, order)
    anew.load(model.state.nodes)
    assert listing.rows == anew.rows
    assert len(listing.rows) == model.state.counts["ok"]
    if order == "best":
        assert listing.rows[0] == model.state.best


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("a title", 9, "a title  "),
        ("a title", 7, "a title"),
        ("a title", 4, "a t…"),
        ("日本語", 4, "日… "),
        ("a", 0, ""),
    ],
)
def test_cut_text_ends_with_a_mark(text: str, cells: int, shown: str) -> None:
    assert fit(text, cells) == shown


def test_dots_outside_the_canvas_are_ignored() -> None:
    canvas = Canvas(2, 1)
    canvas.dot(0, 0)
    canvas.dot(3, 3)
    canvas.dot(9, 9)
    assert canvas.text(0) == "⠁⢀"


def test_status_line_fits_and_shows_what_matters(model: RunModel) -> None:
    for width in range(60, 200, 7):
        cells = status_cells("run", model, "running", "", "", model.state.at + 5000, width)
        assert sum(cell.width for cell in cells) <= width
        text = " ".join(cell.text for cell in cells)
        assert "running" in text and "best" in text
        if width >= 80:
            assert "guarded" in text and "last 5s" in text and f"{model.state.rounds_done}/" in text
    waiting = status_cells("run", model, "running", "pausing…", "", None, 80)
    assert any(cell.text == "pausing…" for cell in waiting)
    assert not any("last" in cell.text for cell in waiting), "no age where time stands still"


@pytest.mark.parametrize("vain", [1, 14, 1_234, 123_456])
def test_status_line_keeps_what_was_in_vain_apart(model: RunModel, monkeypatch: pytest.MonkeyPatch, vain: int) -> None:
    monkeypatch.setattr("tui.model.status.in_vain", lambda state: {"refused": vain})
    for width in range(80, 200, 7):
        cells = status_cells("run", model, "running", "", "", model.state.at + 5000, width)
        assert sum(cell.width for cell in cells) <= width
        (said,) = [cell for cell in cells if f"{vain:,}" in cell.text and cell.look == "bad"]
        assert len(said.text) < said.width


@pytest.mark.parametrize("limit", [9_000, 200_000, 999_999, 2_000_000, 40_000_000_000])
def test_status_line_cuts_no_budget(limit: int) -> None:
    model = model_of(20)
    model.state.settings = msgspec.structs.replace(model.state.settings, tokens=limit)
    for spent in (0, limit // 2 - 1, limit - 1):
        model.state.tokens = spent
        for width in (120, 160, 200):
            cells = status_cells("run", model, "finished", "", "", None, width)
            (budget,) = [cell for cell in cells if cell.text.endswith(" tok")]
            assert len(budget.text) < budget.width and "e+" not in budget.text


def test_wide_status_line_names_a_lesser_sandbox() -> None:
    model = model_of(50)
    at = model.state.at
    assert "guarded," not in " ".join(cell.text for cell in status_cells("run", model, "running", "", "", at, 160))
    for level, guarantee in (("landlock", "guarded"), ("limits", "open")):
        started = ev.EngineStarted(1, "testhost", level, guarantee, 4, 2, "recombine")
        model.apply(ev.Event(model.state.seq + 1, at, None, None, started))
        for width in range(60, 200, 7):
            cells = status_cells("run", model, "running", "", "", at, width)
            assert sum(cell.width for cell in cells) <= width
        assert f"{guarantee}, {level}" in [cell.text for cell in cells]


def test_waiting_run_says_why_in_status_line_and_notes() -> None:
    model = model_of(50)
    known = len(model.notes)
    reason = "3 of 3 rounds gave no design; most often: the answer holds no program. Add priors, or name a model"

    def happen(*data: ev.Data) -> None:
        for item in data:
            model.apply(ev.Event(model.state.seq + 1, model.state.at, None, None, item))

    happen(ev.RunPaused())
    assert "best" in " ".join(cell.text for cell in status_cells("run", model, "paused", "", "", None, 120))
    assert len(model.notes) == known, "what a person did needs no reason"
    happen(ev.RunResumed(), ev.RunPaused(reason=reason, no_design=True), ev.RunPaused(reason=reason, no_design=True))
    for width in (60, 120, 200):
        cells = status_cells("run", model, "paused", "", "", None, width)
        assert sum(cell.width for cell in cells) <= width
        assert "3 of 3 rounds gave no design; most often" in cells[-1].text
    assert [note.text for note in model.notes[known:]] == [f"paused: {reason}"]
    happen(ev.RunResumed(), ev.RunPaused(reason="no model answers; m: down"))
    assert model.notes[-1].text == "paused: no model answers; m: down"


def test_each_worker_has_a_line() -> None:
    model = model_of(50)
    lines = work_lines(model.state)
    assert [line.worker for line in lines] == sorted(item.worker for item in model.state.open_rounds.values())
    assert {line.phase for line in lines} <= {"learn", "design", "explore", "experiment", "analyze", "end"}
    assert work_lines(model_of(50, end="finished").state) == []


def test_workers_follow_the_settings_and_pause_leaves_evaluations_busy() -> None:
    model = model_of(50)
    state, seq = model.state, model.state.seq
    assert worker_limit(state) == 4 and all(line.busy for line in work_lines(state))
    scored = next(node.id for node in state.nodes if node.score is not None)
    for number, (node, data) in enumerate(
        [(None, ev.SettingsChanged({"workers": 2})), (scored, ev.NodeRerun(1)), (None, ev.RunPaused())], 1
    ):
        model.apply(ev.Event(seq + number, state.at, None, node, data))
    assert worker_limit(state) == 2
    running = [item for item in state.evaluations.values() if item.running is not None and item.rerun is None]
    assert sum(line.busy for line in work_lines(state)) == len(running)
    assert not any(line.busy for line in work_lines(state) if line.phase == "rerun")
    model.apply(ev.Event(seq + 9, state.at, None, None, ev.RunPaused(now=True)))
    assert not any(line.busy for line in work_lines(state))
    model.apply(ev.Event(seq + 10, state.at, None, None, ev.SettingsChanged({"workers": None, "slots": 3})))
    assert worker_limit(state) == 5


def test_ages_and_scores_are_short() -> None:
    assert [age(value) for value in (0, 99_000, 100_000, 7_200_000, 1_000_000_000)] == ["0s", "99s", "1m", "2h", "11d"]
    assert max(len(short_score(value)) for value in (0, -12345.678, 1e-9, -1e300, 2.635983, 0.001)) <= 9


def test_best_and_its_lineage_are_marked(model: RunModel) -> None:
    assert model.state.best is not None
    assert marks(model, model.state.nodes[model.state.best])[0] == "▲"
    assert marks(model, model.state.nodes[0])[0] == "┃"
    other = next(node for node in model.state.nodes if node.id not in model.best_lineage)
    assert marks(model, other) == "   "
    for on, shown in (("starred", "*"), ("pinned", "!*"), ("pruned", "x+")):
        other = copy.copy(other)
        setattr(other, on, True)
        assert marks(model, other) == f" {shown:>2}"


def test_same_seed_gives_the_same_story() -> None:
    # The generator itself: same seed, same story.
    a, b = (list(chain.from_iterable(story(Synthesizer(seed=4), 30))) for _ in range(2))
    assert a == b
    assert a != list(chain.from_iterable(story(Synthesizer(seed=random.Random(1).randrange(5, 99)), 30)))
