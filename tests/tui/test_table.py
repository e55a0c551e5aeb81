"""The table of nodes: sorted by any column, filtered, marked, written as CSV; the tree with other rows."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from engine.journal.events import Event, SettingsChanged
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, settled, text_of, until
from tests.tui.synthetic import Synthesizer, story
from tui.model.listing import Listing
from tui.model.run_model import RunModel, fold_model
from tui.model.table import Table


@pytest.fixture(scope="module")
def model() -> RunModel:
    """A run of 150 nodes."""
    return fold_model(chain.from_iterable(story(Synthesizer(rates=True), 150)))


@pytest.mark.parametrize("rising", [True, False])
def test_any_column_sorts_and_an_updated_list_equals_a_loaded_one(model: RunModel, rising: bool) -> None:
    table = Table(model)
    assert {"#", "score", "change", "operator", "parent", "status", "circles", "seconds"} <= {
        column.name for column in table.columns
    }
    for _ in range(len(table.columns)):
        table.sort_by_next(1)
        table.rising = rising
        listing = Listing(lambda node: True, "tree", table.key)
        listing.load(model.state.nodes)
        values = [table.column.read(model.state.nodes[row]) for row in listing.rows]
        known: list[Any] = [value for value in values if value is not None]
        assert known == sorted(known, reverse=not rising) and values[len(known) :] == [None] * (150 - len(known))
        stepwise = Listing(lambda node: True, "tree", table.key)
        for node in model.state.nodes:
            stepwise.update(node)
        assert stepwise.rows == listing.rows, table.column.name


def test_columns_follow_the_ranking_and_no_two_have_one_name(model: RunModel) -> None:
    twin = model.copy()
    twin.metrics |= dict.fromkeys(("round", "seconds", "rank"))
    table = Table(twin)
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names)) and {"round", "round (metric)", "seconds (metric)", "rank"} <= set(names)
    assert "fitness" not in names
    alike = [f"mean_error_of_the_held_out_part_{part}" for part in "ab"]
    twin.metrics |= dict.fromkeys(alike)
    assert set(alike) <= {column.name for column in table.columns}, "names that begin alike are not cut"
    change = SettingsChanged({"fitness": {"kind": "composite"}})
    twin.apply(Event(twin.state.seq + 1, twin.state.at, None, None, change))
    assert {"fitness", "score"} <= {column.name for column in table.columns}
    best = twin.state.best_node
    fitness = next(column for column in table.columns if column.name == "fitness")
    assert best is not None and fitness.read(best) == best.fitness


@pytest.mark.parametrize("width", [47, 70, 118])
def test_row_fits_its_header_and_the_sorting_column_is_seen(model: RunModel, width: int) -> None:
    table = Table(model)
    for _ in range(len(table.columns)):
        table.sort_by_next(1)
        table.reveal(width)
        header = "".join(text for text, _ in table.header(width))
        row = "".join(text for text, _ in table.row(model.state.nodes[20], width))
        # Half a number would be taken for another one; the sign at the edge says that there is more.
        assert len(header.removesuffix("→").rstrip()) <= len(row) <= width + 1 and "#20 " in row
        assert table.sorted_by in header[:width]


async def test_keys_switch_sort_filter_and_write_the_table(
    live_run: Desk, make_app: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        tree = live.view.tree_view
        await pilot.press("b", "V")
        await settled(pilot)
        best = live.session.model.state.best
        assert tree.selected.id == best == tree.rows[0], "the cursor stays on its node, the best is the first"
        assert "score↓" in text_of(app) and "by score row 1 of 60" in text_of(app)
        await pilot.press("O")
        await until(pilot, lambda: "score↑" in text_of(app), "the other order")
        await pilot.press("o", "ampersand", *"status:ok", "enter")
        await until(pilot, lambda: "change↓" in text_of(app), "the next column")
        shown = list(tree.rows)
        assert 0 < len(shown) < 60 and tree.selected.id == best
        await pilot.press("E", "enter")
        await until(pilot, (tmp_path / "alpha-nodes.csv").exists, "the file")
        rows = list(csv.DictReader((tmp_path / "alpha-nodes.csv").read_text().splitlines()))
        assert [int(row["#"]) for row in rows] == shown and {row["status"] for row in rows} == {"ok"}
        await pilot.press("right", "right")
        assert "score" not in text_of(app).splitlines()[2]
        await pilot.press("V")
        await settled(pilot)
        assert tree.selected.id == best and "change" not in text_of(app).splitlines()[2]
