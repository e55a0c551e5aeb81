"""What is ranked is what the screens show: fitness first, the score beside it; the score alone where it alone ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.runs.compare import read_compared
from engine.runs.folder import Run
from tests.e2e.runs import events
from tests.engine.ranked_runs import CRASHED, FITNESS, FITTEST, LOWEST, UNRANKED, make_ranked
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.test_documents import plain
from tests.tui.test_plot import drawn_plot
from tui.feed.batch import Batch
from tui.model.compare import compare_document
from tui.model.labels import beside, outcome
from tui.model.listing import Listing
from tui.model.node_documents import make_subject, read_document
from tui.model.run_model import RunModel, fold_model
from tui.model.status import status_cells

SIZES = [(80, 24), (120, 40)]


def model_of(run: Run) -> RunModel:
    """A folded run."""
    return fold_model(events(run))


@pytest.fixture(params=["composite", "judge"])
def ranked(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A run in which the best score is not the best node."""
    return make_ranked(tmp_path / "runs" / "one", request.param)


@pytest.fixture
def scored(tmp_path: Path) -> Run:
    """The same run, ranked by its minimised score."""
    return make_ranked(tmp_path / "runs" / "one", "score")


# As data


def test_row_shows_fitness_with_the_score_beside_it(ranked: Run) -> None:
    model = model_of(ranked)
    nodes = model.state.nodes
    shown = {node.id: outcome(model, node) for node in nodes}
    assert float(shown[FITTEST]) == max(float(text) for text in shown.values() if text[-1].isdigit())
    assert shown[UNRANKED] == "unranked" and shown[CRASHED] == "crashed"
    assert [float(text) for node in nodes if (text := beside(model, node))] == [2.0, 1.0, 1.9, 1.5]


def test_row_shows_a_minimised_score_once_with_its_own_sign(scored: Run) -> None:
    model = model_of(scored)
    assert [float(outcome(model, node)) for node in model.state.nodes[:4]] == [2.0, 1.0, 1.9, 1.5]
    assert {beside(model, node) for node in model.state.nodes} == {""}


def test_best_first_list_begins_with_the_best(ranked: Run) -> None:
    state = model_of(ranked).state
    listing = Listing(lambda node: True, "best")
    listing.load(state.nodes)
    assert listing.rows[0] == state.best == FITTEST and listing.rows[-2:] == [UNRANKED, CRASHED]


def test_best_first_list_orders_a_minimised_score(scored: Run) -> None:
    listing = Listing(lambda node: True, "best")
    listing.load(model_of(scored).state.nodes)
    assert listing.rows == [LOWEST, UNRANKED, FITTEST, 0, CRASHED]


def test_plot_draws_fitness(ranked: Run) -> None:
    model = model_of(ranked)
    state, plot = model.state, drawn_plot(model)
    best = state.best_node
    assert best is not None and best.fitness is not None and plot.top is not None and plot.bottom is not None
    assert plot.top >= best.fitness > plot.bottom
    # No dot lies above the best line, which ends at the top.
    rows = [row for row in range(7) if plot.text(row).strip()]
    assert any(plot.best_cells(rows[0]))
    low = [plot.cell_of(state.nodes[node]) for node in (UNRANKED, CRASHED)]
    assert [cell[1] for cell in low if cell] == [7, 7]


def test_plot_of_a_minimised_score_keeps_its_sign(scored: Run) -> None:
    plot = drawn_plot(model_of(scored))
    assert plot.top is not None and plot.bottom is not None
    assert 0.0 < plot.top < 1.0 and plot.bottom > 2.0


@pytest.mark.parametrize("width", [80, 96, 118, 119, 120, 160])
def test_status_line_names_fitness(ranked: Run, width: int) -> None:
    model = model_of(ranked)
    best = model.state.best_node
    assert best is not None and best.fitness is not None
    cells = status_cells("linear_attention-20261122-100647", model, "running", "", "", model.state.at + 5000, width)
    assert sum(cell.width for cell in cells) <= width and all(len(cell.text) <= cell.width for cell in cells)
    text = " ".join(cell.text for cell in cells)
    assert f"fitness {best.fitness:.4g}"[:13] in text and "1.9" in text and f"#{FITTEST}" in text
    assert "guarded" in text and "last 5s" in text and "4/" in text


@pytest.mark.parametrize("width", [80, 96, 118, 120])
def test_status_line_says_that_the_seed_is_known_if_it_shows_no_age(ranked: Run, width: int) -> None:
    cells = status_cells("linear_attention-20261122-100647", model_of(ranked), "finished", "", "", None, width)
    assert "seed known" in [cell.text for cell in cells] and sum(cell.width for cell in cells) <= width


def test_status_line_keeps_the_sign_of_a_minimised_score(scored: Run) -> None:
    for width in (80, 120):
        text = " ".join(cell.text for cell in status_cells("r", model_of(scored), "finished", "", "", None, width))
        assert f"best 1 #{LOWEST}" in text and "fitness" not in text


def test_documents_of_a_node_name_fitness(ranked: Run) -> None:
    model = model_of(ranked)
    nodes = model.state.nodes
    best = nodes[FITTEST]
    told = plain(read_document(make_subject(ranked, model, best), "Metrics", 100))
    assert told.splitlines()[0].startswith(f"fitness = {best.fitness:.6g}  loss = 1.9")
    assert "judge's mark 0.9 of 1" in told
    told = plain(read_document(make_subject(ranked, model, nodes[UNRANKED]), "Metrics", 100))
    assert told.startswith("not ranked  loss = 1.5")
    told = plain(read_document(make_subject(ranked, model, best), "Diff", 100))
    assert f"#2 fitness {best.fitness:.6g}, score 1.9  n2" in told


def test_comparison_uses_fitness(tmp_path: Path) -> None:
    run = read_compared(make_ranked(tmp_path / "one", "composite"))
    best = run.best
    assert best is not None and best.fitness is not None
    told = plain(compare_document([run, run], "Curves", "rounds", 100, 30))
    assert f"fitness {best.fitness:.6g}, score 1.9 #{FITTEST}" in told and "0.81" in told.partition("│")[0][-12:]
    told = plain(compare_document([run, run], "Figures", "rounds", 100, 30))
    assert "best fitness" in told and "its score" in told and f"{best.fitness:.6g} (1.9)" in told
    scored = read_compared(make_ranked(tmp_path / "two", "score"))
    told = plain(compare_document([run, scored], "Curves", "rounds", 100, 30))
    assert "the score is compared" in told


# On the screen


@pytest.mark.parametrize("size", SIZES)
async def test_live_screen_names_fitness_and_score(ranked: Run, make_app: Maker, size: tuple[int, int]) -> None:
    app = make_app(ranked)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("b")
        lines = text_of(app).splitlines()
        model = app.session.model  # type: ignore[union-attr]
        assert model is not None
        assert "fitness " in lines[0] and "fitness, score" in lines[1]
        row = next(line for line in lines if line.startswith("▲"))
        assert row.split()[1:3] == [outcome(model, model.state.nodes[FITTEST]), "1.90000"]
        assert any("fitness by node" in line for line in lines) and any("unranked │" in line for line in lines)
        if size[0] < 100:
            await pilot.press("v", "v", "v")
        await until(pilot, lambda: " score 1.90000 (-0.1 on #0 2)" in text_of(app), "the peek")
        assert max(map(len, text_of(app).splitlines())) <= size[0]


async def test_changed_weights_reorder_the_list_at_once(scored: Run, make_app: Maker, tmp_path: Path) -> None:
    app = make_app(scored)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("o")
        session: Any = app.session
        state = session.model.state
        first = next(line for line in text_of(app).splitlines() if "#1 " in line and " n1" in line)
        assert first.startswith("▲     1.00000 #1 ")
        change = ev.Event(state.seq + 1, state.at, None, None, ev.SettingsChanged({"fitness": FITNESS["composite"]}))
        session.take(Batch(scored, False, (change,)))
        await until(pilot, lambda: "fitness by node" in text_of(app), "the plot")
        await until(pilot, lambda: "fitness, score" in text_of(app), "the head")
        rows = [line for line in text_of(app).splitlines() if " 1.90000 #2 " in line or " 1.00000 #1 " in line]
        assert "#2" in rows[0] and "#1" in rows[1], "the order follows"


@pytest.mark.parametrize("size", SIZES)
async def test_list_of_runs_shows_fitness(tmp_path: Path, make_app: Maker, size: tuple[int, int]) -> None:
    make_ranked(tmp_path / "runs" / "one", "composite")
    make_ranked(tmp_path / "runs" / "two", "score")
    app = make_app()
    app.runs = tmp_path / "runs"
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: text_of(app).count("finished") == 2, "the list")
        text = text_of(app)
        assert "fitness 0.8112 (1.9)" in text and "best (its score)" in text
        assert any("two" in line and "fitness" not in line and " 1 " in line for line in text.splitlines())
        assert max(map(len, text.splitlines())) <= size[0]


async def test_child_key_opens_the_fittest_child(tmp_path: Path, make_app: Maker) -> None:
    # The best is the seed: then no child lies on the way to it.
    run = make_ranked(tmp_path / "runs" / "one", "composite")
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        session: Any = app.session
        state = session.model.state
        crowned = ev.Event(state.seq + 1, state.at, 0, 0, ev.BestCrowned(2.0))
        session.take(Batch(run, False, (crowned,)))
        await pilot.press("b", "enter", "o")
        await until(pilot, lambda: f"#{FITTEST} fitness" in text_of(app), "the fittest child")
