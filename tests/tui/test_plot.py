"""Plots of any quantity: scales, the cursor that all plots and the tree share, and the dots of every node."""

from __future__ import annotations

import re
from itertools import chain, pairwise
from typing import Any

import pytest

from engine.journal import events as ev
from tests.tui.pilot import Maker, opened, settled, text_of, until
from tests.tui.synthetic import Synthesizer, add_events, make_run, story
from tui.model.plot import Plot, ticks
from tui.model.quantities import AXES, Quantity, axis_value, find_quantity, quantities
from tui.model.run_model import RunModel, fold_model
from tui.screens.node import NodeScreen


def drawn_plot(model: RunModel, width: int = 40, height: int = 8, **options: Any) -> Plot:
    """The plot of what ranks a run's nodes, by node."""
    quantity = find_quantity(model, "rank")
    plot = Plot(width, height, quantity, lambda node: node.id, line=model.state.ranking.of, **options)
    plot.load(model.state.nodes, model.state.best_steps)
    return plot


@pytest.fixture(scope="module")
def model() -> RunModel:
    """A run of 200 nodes."""
    return fold_model(chain.from_iterable(story(Synthesizer(), 200)))


def plot_of(values: list[float], better: Any = "higher", **options: Any) -> Plot:
    """A plot of some values, in the order of their nodes."""
    folded = fold_model(chain.from_iterable(story(Synthesizer(), len(values))))
    nodes = folded.state.nodes[: len(values)]
    for node in nodes:
        node.status = "ok"
    plot = Plot(30, 9, Quantity("rank", "error", better, lambda node: values[node.id]), lambda node: node.id, **options)
    plot.load(nodes, [])
    return plot


def test_plot_shows_every_node_with_the_best_on_top(model: RunModel) -> None:
    plot = drawn_plot(model, 60, 9)
    drawn = [any(row[i] for row in plot.dots.cells) for i in range(60)]
    used = int(len(model.state.nodes) / plot.right * 60)
    assert all(drawn[: used - 1]) and not any(drawn[used + 1 :])
    best = model.state.best_node
    assert best is not None and best.score is not None
    assert plot.top is not None and plot.bottom is not None and plot.top >= best.score > plot.bottom
    assert plot.best_cells(0)[used - 2] or plot.best_cells(1)[used - 2]
    cell = plot.cell_of(best)
    assert cell is not None and plot.dots.cells[cell[1]][cell[0]]


def test_node_that_is_measured_again_loses_its_old_dot() -> None:
    values = [1.0, 2.0, 3.0, 1.5]
    folded = fold_model(chain.from_iterable(story(Synthesizer(), len(values))))
    nodes = folded.state.nodes[: len(values)]
    for node in nodes:
        node.status = "ok"
    quantity = Quantity("rank", "error", "higher", lambda node: values[node.id])
    stepwise, at_once = (Plot(30, 9, quantity, lambda node: node.id) for _ in range(2))
    stepwise.load(nodes[:3], [])
    stepwise.update(nodes[3], nodes, [])
    values[3] = 2.5
    stepwise.update(nodes[3], nodes, [])
    at_once.load(nodes, [])
    assert stepwise.dots.cells == at_once.dots.cells


@pytest.mark.parametrize("axis", AXES)
def test_plot_drawn_node_by_node_equals_the_plot_drawn_at_once(axis: Any) -> None:
    first, *events = chain.from_iterable(story(Synthesizer(seed=9), 100))
    model = fold_model([first])

    def make() -> Plot:
        place = lambda node: axis_value(model, axis, node)  # noqa: E731
        return Plot(40, 8, find_quantity(model, "rank"), place, line=model.state.ranking.of)

    stepwise = make()
    for event in events:
        model.apply(event)
        if isinstance(event.data, ev.EvalDone | ev.BestCrowned):
            assert event.node is not None
            state, is_new = model.state, isinstance(event.data, ev.EvalDone)
            stepwise.update(state.nodes[event.node], state.nodes, state.best_steps, is_new)
    at_once = make()
    at_once.left, at_once.right, at_once.extent = stepwise.left, stepwise.right, stepwise.extent
    at_once._sorted, at_once._low, at_once._high, at_once.log = (
        stepwise._sorted, stepwise._low, stepwise._high, stepwise.log,
    )  # fmt: skip
    at_once._draw([node for node in model.state.nodes if node.status is not None])
    at_once._draw_line(model.state.nodes, model.state.best_steps)
    assert [stepwise.text(row) for row in range(8)] == [at_once.text(row) for row in range(8)]


def test_scale_fits_the_values_and_has_no_edge_below_none() -> None:
    outlier = plot_of([1.0, 1.1, 1.2, -1e9, *[1.15] * 30])
    assert outlier.bottom is not None and outlier.bottom > 0.9
    error = plot_of([0.06, 0.05, 0.04, 0.001, 0.03], "lower", scale="linear")
    assert error.top == 0.0 and error.bottom is not None and 0.06 < error.bottom < 0.07
    falling = plot_of([0.0495, 0.03, 0.01, 0.004, 0.0024], "lower")
    assert falling.log and falling.top is not None and 0.001 < falling.top < 0.0024
    levels = [falling._y(value) for value in (0.0495, 0.03, 0.01, 0.004, 0.0024)]
    assert levels == sorted(levels, reverse=True) and levels[1] - levels[3] > 12, "no flat line"
    assert not plot_of([0.96, 2.6, 2.5]).log and not plot_of([-1.0, 100.0], scale="log").log


def test_plot_ends_where_the_data_end_and_shows_a_part_of_them() -> None:
    values = [float(number) for number in range(20)]
    assert plot_of(values).right == 40 and plot_of(values, ends=True).right == 19
    part = plot_of(values, window=(5.0, 9.0))
    assert part.left == 5 and part.top is not None and part.bottom is not None and 9 < part.top < 10 > part.bottom > 4
    assert part.column_of(4.0) is None and part.column_of(5.0) == 0


@pytest.mark.parametrize("span", [(0.0, 60.0), (0.0, 0.003), (17.5, 18.25), (0.0, 123456.0), (5.0, 5.0)])
def test_ticks_are_round_and_apart(span: tuple[float, float]) -> None:
    found = ticks(*span, 48)
    assert len(found) <= 6 and (span[0] == span[1] or len(found) >= 2)
    columns = [column for column, _ in found]
    assert all(later - earlier >= 8 for earlier, later in pairwise(columns))


def test_every_quantity_of_a_run_is_plotted(model: RunModel) -> None:
    known = {quantity.id: quantity for quantity in quantities(model)}
    assert {"rank", "change", "seconds", "circles"} <= known.keys()
    best = model.state.best_node
    assert best is not None and known["circles"].read(best) == best.metrics["circles"]
    parent = model.parent(best)
    assert parent is not None and known["change"].read(best) == pytest.approx((best.score or 0) - (parent.score or 0))
    places = [axis_value(model, "seconds", node) for node in model.state.nodes if node.status is not None]
    assert None not in places and len(set(places)) > 100


def test_metric_named_like_a_quantity_of_every_run_is_one_of_its_own(model: RunModel) -> None:
    twin = model.copy()
    twin.metrics |= dict.fromkeys(("rank", "tokens", "change"))
    ids = [quantity.id for quantity in quantities(twin)]
    assert len(ids) == len(set(ids)) and ids[0] == "rank" and "metric rank" in ids
    best = twin.state.best_node
    assert best is not None and find_quantity(twin, "rank").read(best) == best.score
    assert find_quantity(twin, "metric rank").read(best) is None


def test_node_outside_the_shown_part_draws_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [float(number) for number in range(20)]
    part = plot_of(values[:-1], window=(5.0, 9.0))
    folded = fold_model(chain.from_iterable(story(Synthesizer(), 20)))
    folded.state.nodes[19].status = "ok"
    values_of = {node.id: values[node.id] for node in folded.state.nodes[:20]}
    part._quantity = part._quantity._replace(read=lambda node: values_of[node.id])
    monkeypatch.setattr(part, "load", lambda nodes, steps: pytest.fail("all nodes were drawn anew"))
    part.update(folded.state.nodes[19], folded.state.nodes, [])


async def test_marks_on_the_axis_leave_no_half_of_a_number(runs: Any, make_app: Maker) -> None:
    run = make_run(runs / "one", 60)
    add_events(run, (ev.NodeStarred(), 3), (ev.RunFinished("done"), None))
    app: Any = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        panel = app.screen.query_one("#plot")
        plot = panel._plots[0][1]
        numbers = {label for _, label in ticks(plot.left, plot.right, plot.width)}
        seen: set[str] = set()
        for node in range(60):
            panel.point(node)
            axis = "".join(text for text, _ in panel._axis_row(0))
            measured = plot.cell_of(panel._model.node(node)) is not None
            assert axis.count("↑") == measured and "▲" not in axis
            seen |= set(re.findall(r"\d+", axis))
        assert seen == numbers


async def test_cursor_is_the_same_in_every_plot_and_in_the_tree(runs: Any, make_app: Maker) -> None:
    run = make_run(runs / "one", 60)
    add_events(run, (ev.NodeStarred(), 3), (ev.RunFinished("done"), None))
    app: Any = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        tree, panel = live.view.tree_view, app.screen.query_one("#plot")
        assert "●" in text_of(app), "the star is marked on the axis"
        await pilot.press("b", "tab")
        await settled(pilot)
        best = live.session.model.state.best
        assert panel.has_focus and text_of(app).count(f"#{best} ") > 1, "the plot names the tree's node"
        await pilot.press("A", "right")
        await settled(pilot)
        assert tree.selected.id == best + 1 and len(panel._plots) == 2
        titles = [line for line in text_of(app).splitlines() if f"#{best + 1} " in line and " by " in line]
        assert len(titles) == 2
        await pilot.press("plus", "plus", "greater_than_sign")
        left, right = panel._windows[1]
        assert right - left == pytest.approx(panel._plots[0][1].extent / 4) and panel._windows[0] is None
        await pilot.press("L")
        await settled(pilot)
        assert left <= tree.selected.id
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NodeScreen), "the node")
        chosen = app.screen.node.id
        await pilot.press("escape")
        assert tree.selected.id == chosen
        await pilot.press("D", "m", "m", "a", "l")
        await settled(pilot)
        choice = panel.choices[0]
        assert (choice.measure, choice.axis, choice.scale) == ("circles", "round", "linear")
        app.attach(run)
        await opened(pilot)
        await settled(pilot)
        assert "circles by round" in text_of(app), "what is plotted is kept"
