"""The machines of a run on a cluster: what fits, runs, measured and was lost."""

from __future__ import annotations

from typing import Any

from engine.journal import events as ev
from engine.runs.folder import Run
from engine.state.fold import apply
from tests.e2e.runs import events
from tests.engine.test_submissions import NAME, add, event, run_with
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.test_model import ROOT
from tests.tui.test_money import text
from tui.model.machines import machines_lines
from tui.model.run_model import fold_model

CLUSTER = ev.ClusterChanged([ev.ClusterMachine("alpha", 2, 4.0, 1.0), ev.ClusterMachine("beta", 4, 4.0)])


def rows_of(shown: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.split()}


def test_table_follows_the_cluster() -> None:
    state = run_with(CLUSTER, ev.EvalSubmitted(NAME, "k", 0, "ray"))
    assert "waiting for a machine: 1" in text(machines_lines(state))
    add(state, ev.EvalPlaced(NAME, "k", 0, "handle", "alpha"))
    shown = text(machines_lines(state))
    assert "2 there, 6 slots" in shown and "waiting" not in shown
    assert rows_of(shown)["alpha"] == ["2", "1", "50%", "4", "1", "0"]
    add(state, ev.EvalLost(NAME, "k", 0, "alpha", "it died"))
    add(state, ev.ClusterChanged([ev.ClusterMachine("beta", 8, 8.0)], ["alpha"]))
    add(state, ev.MachineSeen("f00", "beta", {"cpu": "fast"}))
    add(state, ev.EvalStageDone("explore", "ok", score=1.0, host="beta", machine="f00"))
    shown = text(machines_lines(state))
    assert rows_of(shown)["alpha"] == ["gone", "–", "0", "1"]
    assert rows_of(shown)["beta"] == ["8", "0%", "8", "1"]
    assert "f00  first beta: cpu fast" in shown
    # The next engine says anew what there is.
    apply(state, event(state.seq + 1, ev.EngineStarted(2, "here", "bubblewrap", "guarded", 3, 1, "recombine")))
    assert not state.cluster and rows_of(text(machines_lines(state)))["beta"][0] == "gone"


def test_loss_without_a_machine_is_told_apart() -> None:
    state = run_with(CLUSTER, ev.EvalSubmitted(NAME, "k", 0, "ray"))
    add(state, ev.EvalLost(NAME, "k", 0, "", "the connection to the cluster was lost"))
    shown = text(machines_lines(state))
    assert "lost before they had a machine: 1" in shown and set(rows_of(shown)) >= {"alpha", "beta"}


def test_run_on_one_machine_has_none() -> None:
    model = fold_model(events(Run(ROOT / "sample_runs" / "circle_packing_mixed")))
    assert text(machines_lines(model.state)) == "Evaluations run on the engine's own machine."


async def test_key_shows_machines_as_they_come_and_go(live_run: Desk, make_app: Maker) -> None:
    app: Any = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "the engine's own machine" in text_of(app), "where evaluations run")
        live_run.record(CLUSTER)
        await until(pilot, lambda: "2 there, 6 slots" in text_of(app), "the machines that joined")
        live_run.record(ev.EvalLost(NAME, "k", 0, "alpha", "it died"), ev.ClusterChanged([], ["alpha"]))
        await until(pilot, lambda: "1 there, 4 slots" in text_of(app), "the end of a machine")
        rows = rows_of(text_of(app))
        assert rows["alpha"][0] == "gone" and rows["alpha"][-1] == "1" and rows["beta"][0] == "4"
        await pilot.press("escape")
        await until(pilot, lambda: "Population" in text_of(app), "the run")
