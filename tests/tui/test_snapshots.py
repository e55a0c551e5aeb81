"""What the screens look like. Baselines belong to one version of Textual; elsewhere they say nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import textual
from textual.pilot import Pilot

from tests.tui.synthetic import make_run
from tests.tui.test_screens import Maker, opened, text_of, until

pytestmark = pytest.mark.skipif(
    textual.__version__ != "8.2.8" and "CI" not in os.environ, reason="the baselines were drawn by Textual 8.2.8"
)

Compare = Callable[..., bool]


@pytest.mark.parametrize(
    ("size", "theme"), [((120, 40), "evolve-dark"), ((80, 24), "evolve-light"), ((80, 24), "ansi-16")]
)
def test_live(runs: Path, make_app: Maker, snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app = make_app(make_run(runs / "packing", 80, end="finished"), theme=theme)

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("b")
        await pilot.pause(0.4)

    assert snap_compare(app, terminal_size=size, run_before=look)


def test_node(runs: Path, make_app: Maker, snap_compare: Compare) -> None:
    app = make_app(make_run(runs / "packing", 80, end="finished"))

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("b", "enter", "2")
        await until(pilot, lambda: "@@" in text_of(pilot.app), "the diff")  # type: ignore[arg-type]

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


def test_runs(runs: Path, make_app: Maker, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(runs / "packing", 40, end="finished")
    make_run(runs / "older", 20, seed=4)
    monkeypatch.chdir(runs.parent)
    app = make_app()
    app.runs = Path("runs")

    async def look(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "finished" in text_of(pilot.app), "the list")  # type: ignore[arg-type]

    assert snap_compare(app, terminal_size=(120, 24), run_before=look)
