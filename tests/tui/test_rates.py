"""The panel of rates and devices: what evaluations report, what the machine is at, nothing where nothing is known."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.journal.database import connect_writer
from engine.journal.live import LIVE_SCHEMA, insert_live
from engine.runs.folder import Run, lock_run
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import Synthesizer, add_events, make_run, story
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import ROOT, TUI
from tui.model.rates import device_rows, rate_rows, short_rate
from tui.model.run_model import RunModel, fold_model

CPU = {"cpu": 0.734, "cores": 16.0, "load": 11.2, "mem_mb": 131072.0, "mem_used_mb": 35840.0}
GPU = {
    "gpu0.util": 0.87, "gpu0.mem_mb": 81920.0, "gpu0.mem_used_mb": 34816.0, "gpu0.power_w": 412.5,
    "gpu0.power_limit_w": 700.0, "gpu0.celsius": 67.0, "gpu0.peak_tflops": 1000.0, "gpu0.peak_gbs": 3352.0,
}  # fmt: skip
WITH_GPU = ev.Telemetry(CPU | GPU, ["NVIDIA H100 80GB HBM3"])


def texts(rows: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def model_of(nodes: int, **options: Any) -> RunModel:
    return fold_model(chain.from_iterable(story(Synthesizer(**options), nodes)))


def test_rates_compare_best_and_last_with_the_seed() -> None:
    model = model_of(60, rates=True)
    state = model.state
    best = state.best_node
    assert best is not None and best.score is not None
    first, second = texts(rate_rows(state, model.rates))
    times = best.score**2 / 0.9598**2
    assert first.split()[0] == "tokens_per_s" and f"best #{best.id} {times:.2f}× seed" in first
    last = model.rates["tokens_per_s"][-1]
    assert f"last #{last.node} " in second and f" {short_rate(last.value)} " in second
    running = next(iter(state.evaluations))
    model.fold(ev.Event(10**6, 0, 1, running, ev.EvalProgress("explore", 5.0, {"tokens_per_s": 2e6, "loss": 0.1})))
    assert f"     2M now #{running} " in texts(rate_rows(state, model.rates))[1]


def test_devices_show_peaks_and_the_share_of_the_best() -> None:
    model = model_of(20, rates=True)
    assert texts(device_rows(model.state, WITH_GPU)) == [
        " GPU 0 87% busy  34.0/80.0 GiB  412/700 W  67 °C",
        "   NVIDIA H100 80GB HBM3  peak 1,000 TFLOP/s (best 20%), 3,352 GB/s",
        " CPU  73% of 16 cores  load 11.2  35.0/128.0 GiB",
    ]
    assert texts(device_rows(model.state, ev.Telemetry({"gpu0.mem_mb": 1024.0}, ["Card"]))) == [
        " GPU 0 0.0/1.0 GiB", "   Card",
    ]  # fmt: skip


def test_no_rates_without_figures() -> None:
    model = model_of(20)
    assert rate_rows(model.state, model.rates) == [] == device_rows(model.state, model.telemetry)
    assert device_rows(model.state, ev.Telemetry({})) == []


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rates_are_short(value: float) -> None:
    assert len(short_rate(value)) <= 10


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_live_screen_shows_the_rates_panel(runs: Path, make_app: Maker, size: tuple[int, int]) -> None:
    run = make_run(runs / "quick", 40, rates=True)
    add_events(run, (WITH_GPU, None))
    app = make_app(run)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        if size[0] < 100:
            assert "tokens_per_s" not in text_of(app)
            await pilot.press("v", "v", "v", "v")
        await until(pilot, lambda: "tokens_per_s" in text_of(app) and "GPU 0 87% busy" in text_of(app), "the panel")
        assert "CPU  73% of 16 cores" in text_of(app)
        if size[0] < 100:
            await pilot.press("v")
            await until(pilot, lambda: "sum_radii by node" in text_of(app), "the first panel again")


async def test_rates_panel_without_figures_is_hidden(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "plain", 20, end="finished"))
    async with app.run_test(size=(80, 24)) as pilot:
        live: Any = await opened(pilot)
        assert not live.view._rates.display
        await pilot.press("v", "v", "v", "v")
        await until(pilot, lambda: "sum_radii by node" in text_of(app), "the first panel again")


def tell(run: Run, values: dict[str, float]) -> None:
    """A live row as the engine writes it."""
    connection = connect_writer(run.db)
    connection.execute(LIVE_SCHEMA)
    insert_live(connection, [(0, "telemetry", None, msgspec.json.encode(ev.Telemetry(values)).decode())])
    connection.close()


async def test_live_figures_are_updated_each_second(live_run: Any, make_app: Maker) -> None:
    tell(live_run.run, {"cpu": 0.99, "cores": 3.0})
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "99%" not in text_of(app), "what was before is over"
        for share in (0.11, 0.22):
            tell(live_run.run, {"cpu": share, "cores": 3.0})
            await until(pilot, lambda share=share: f"{share:.0%} of 3 cores" in text_of(app), "the figure")


def test_paused_run_writes_no_byte_while_telemetry_changes(runs: Path) -> None:
    run = make_run(runs / "still", 30, end="paused", rates=True)
    tell(run, CPU)
    with lock_run(run):
        terminal = Terminal([*TUI, str(runs), "still"], (120, 40), cwd=ROOT)
        try:
            terminal.read_until("‖ paused")
            terminal.read(3, quiet=1.0)
            total = 0
            for share in (0.1, 0.5, 0.9):
                tell(run, CPU | {"cpu": share})
                total += terminal.read(0.8)
            assert total == 0
        finally:
            terminal.close()
