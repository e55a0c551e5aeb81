"""Several objectives on the screens: the line of the hypervolume, the plot of the front, the column of ranks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.runs.folder import Run
from tests.e2e.runs import events
from tests.engine.test_fork import write
from tests.engine.test_state import Script
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.test_documents import plain
from tui.model.node_documents import make_subject, read_document
from tui.model.plot import Plot
from tui.model.plot_line import height_of, improvements
from tui.model.quantities import axis_value, find_quantity
from tui.model.run_model import RunModel, fold_model
from tui.model.table import Table

PARTS = {
    "loss": {"direction": "minimize", "reference": 10.0},
    "speed": {"direction": "maximize", "reference": 0.0},
}
RESULTS = [(8.0, 4.0), (6.0, 4.0), (7.0, 8.0), (2.0, 1.0), (9.0, 3.0)]
"""Loss and speed of each node; the first three raise the hypervolume, and 1, 2 and 3 make the front."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    script = Script()
    spec = {"name": "t", "direction": "minimize", "metric": "loss"}
    code = "X = 0\n"
    fitness = {"kind": "pareto", "parts": PARTS, "require": {"speed": "> 0"}}
    script.add(ev.RunStarted("t", {"fitness": fitness}, spec, {"seed.py": sha256_of(code)}))
    script.add(ev.EngineStarted(1, "h", "bubblewrap", "guarded", 1, 1, "recombine"))
    for node, (loss, speed) in enumerate(RESULTS):
        script.add(ev.RoundStarted(), node)
        made = ev.DesignDone(sha256_of(code), "tune", f"n{node}", "why", [0] if node else [], digest=str(node))
        script.add(made, node, node)
        script.add(ev.EvalDone("ok", loss, {"loss": loss, "speed": speed}), node, node)
        if node in (0, 1, 2):
            script.add(ev.BestCrowned(loss), node, node)
        script.add(ev.AnalyzeDone(f"lesson {node}"), node, node)
        script.add(ev.RoundEnded("node"), node)
    return write(tmp_path / "runs" / "one", script.events, [code.encode()])


def plot_of(model: RunModel, measure: str, axis: Any) -> Plot:
    quantity = find_quantity(model, measure)
    plot = Plot(
        40, 12, quantity, partial(axis_value, model, axis), "linear", True,
        line=partial(height_of, model), anywhere=axis == "objective",
    )  # fmt: skip
    plot.load(model.state.nodes, improvements(model, quantity, axis))
    return plot


def test_the_curve_is_the_hypervolume_above_the_dots_of_nodes(run: Run) -> None:
    model = fold_model(events(run))
    assert [step.hypervolume for step in model.state.front_steps] == [8.0, 16.0, 28.0, 32.0]
    plot = plot_of(model, "rank", "node")
    assert plot.top is not None and plot.top >= 32.0
    assert any(plot.best_cells(0)) or any(plot.best_cells(1)), "the line ends at the top"
    raised = find_quantity(model, "hypervolume")
    assert [raised.read(node) for node in model.state.nodes] == [8.0, 16.0, 28.0, 32.0, None]


def test_the_front_is_a_line_between_two_objectives(run: Run) -> None:
    model = fold_model(events(run))
    steps = improvements(model, find_quantity(model, "speed"), "objective")
    assert [(step.node, height_of(model, step)) for step in steps] == [(3, 1.0), (1, 4.0), (2, 8.0)]
    plot = plot_of(model, "speed", "objective")
    assert plot.left < plot.start == 2.0 and plot.right > plot.extent == 9.0
    assert any(any(plot.best_cells(row)) for row in range(plot.height))
    # Of an objective to maximize the edge reaches a node from below.
    turned = {name: {**part, "direction": "maximize", "reference": 0.0} for name, part in PARTS.items()}
    change = ev.SettingsChanged({"fitness": {"parts": turned}})
    model.fold(ev.Event(model.state.seq + 1, model.state.at, None, None, change))
    steps = improvements(model, find_quantity(model, "speed"), "objective")
    assert [(step.node, height_of(model, step)) for step in steps] == [(2, 4.0), (0, 3.0), (4, 3.0)]
    assert not improvements(model, find_quantity(model, "seconds"), "objective")


def test_the_table_sorts_by_front_and_the_page_of_a_node_names_it(run: Run) -> None:
    model = fold_model(events(run))
    table = Table(model)
    column = next(column for column in table.columns if column.name == "front")
    assert [column.read(node) for node in model.state.nodes] == [2, 1, 1, 1, 3]
    page = plain(read_document(make_subject(run, model, model.state.nodes[3]), "Metrics", 80))
    assert "front 1, raised the hypervolume to 32" in page


async def test_keys_lead_to_the_plot_of_the_front(run: Run, make_app: Maker) -> None:
    app: Any = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        panel = app.screen.query_one("#plot")
        await until(pilot, lambda: "fitness by node, line: hypervolume" in text_of(app), "the plot")
        await pilot.press("tab", "m", "m", "m", "m", "a", "a", "a")
        assert (panel.choices[0].measure, panel.choices[0].axis) == ("speed", "objective")
        await until(pilot, lambda: "speed by loss, line: the front" in text_of(app), "the front")
        await pilot.press("plus", "0", "right", "a")
        await until(pilot, lambda: "speed by node" in text_of(app), "the first axis")
