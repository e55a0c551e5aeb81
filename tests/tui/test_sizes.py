"""Any window size, down to a single cell: a person who drags an edge loses nothing but the view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.command import CommandPalette

from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import make_run
from tui.model.labels import cut_middle
from tui.screens.compare import CompareScreen
from tui.screens.dialogs import Confirm, Prompt
from tui.screens.live import LiveScreen
from tui.screens.node import NodeScreen
from tui.screens.reading import HelpScreen, LogScreen
from tui.screens.runs import RunsScreen
from tui.screens.settings import SettingsScreen

SIZES = [(59, 14), (39, 20), (20, 5), (120, 1), (1, 40), (2, 2), (1, 1), (112, 30), (80, 24)]


async def resize(pilot: Any) -> None:
    """Through all sizes, and back to one that is large enough."""
    for size in SIZES:
        await pilot.resize_terminal(*size)
        await pilot.pause()


async def test_run_fits_any_size(live_run: Desk, make_app: Maker) -> None:
    kinds: dict[str, type] = {
        "": LiveScreen, "enter": NodeScreen, "question_mark": HelpScreen, "f12": LogScreen, "f2": SettingsScreen,
        "S": Confirm, "ctrl+p": CommandPalette,
    }  # fmt: skip
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for key, kind in kinds.items():
            await pilot.press(*filter(None, [key]))
            assert isinstance(app.screen, kind)
            await resize(pilot)
            if key:
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, LiveScreen) and "#0 seed" in text_of(app), "the tree")


async def test_replay_fits_any_size(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    app._replay = (200, 10.0, False)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await resize(pilot)
        await until(pilot, lambda: "event 200/" in text_of(app), "the bar")
        await pilot.press("t")
        assert isinstance(app.screen, Prompt)
        await resize(pilot)


async def test_comparison_screen_fits_any_size(runs: Path, make_app: Maker) -> None:
    pair = [make_run(runs / name, 12, seed=seed, end="finished") for seed, name in enumerate(("one", "two"))]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(CompareScreen(pair))
        await until(pilot, lambda: "│" in text_of(app), "the curves")
        await resize(pilot)
        await until(pilot, lambda: "│" in text_of(app), "the curves again")


async def test_list_of_runs_fits_any_size(runs: Path, make_app: Callable[..., Any]) -> None:
    make_run(runs / "circle_packing-20261122-0500", 10, end="finished")
    (runs / "broken").mkdir()
    (runs / "broken" / "run.db").write_bytes(b"no journal")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "finished" in text_of(app), "the list")
        for keys in ((), ("t",), ("question_mark",)):
            await pilot.press(*keys)
            await resize(pilot)
            if keys:
                await pilot.press("escape")
            assert isinstance(app.screen, RunsScreen)
            await pilot.resize_terminal(62, 20)
            await until(pilot, lambda: "0500 finished" in text_of(app), "a name whose end is seen, and a gap")
            assert "cir" in text_of(app) and "…" in text_of(app)


def test_cut_name_keeps_its_end() -> None:
    name = "circle_packing-20261122-0500"
    assert cut_middle(name, 28) == name
    assert cut_middle(name, 20) == "circle_…0261122-0500"
    assert [len(cut_middle(name, cells)) for cells in range(6)] == list(range(6))
    assert cut_middle("漢字漢字漢字", 6) == "漢…字"
