"""What the screens look like. Baselines belong to one version of Textual; elsewhere they say nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import textual
from pytest_textual_snapshot import SVGImageExtension
from textual.pilot import Pilot

from engine.journal import events as ev
from engine.priors.place import open_collection, place_of_run
from engine.runs.folder import Run, lock_run
from tests.e2e.runs import fold
from tests.tui.conftest import Desk
from tests.tui.pilot import SIZES, Maker, opened, settled, text_of, until
from tests.tui.svg import cleaned
from tests.tui.synthetic import add_events, make_run
from tests.tui.test_cognition import PRIORS
from tests.tui.test_model import ROOT
from tests.tui.test_writing import Writer

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
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)


def test_node(runs: Path, make_app: Maker, snap_compare: Compare) -> None:
    app = make_app(make_run(runs / "packing", 80, end="finished"))

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("b", "enter", "2")
        await until(pilot, lambda: "@@" in text_of(pilot.app), "the diff")  # type: ignore[arg-type]

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


def test_files_of_a_node(runs: Path, make_app: Maker, snap_compare: Compare) -> None:
    app = make_app(make_run(runs / "packing", 30, end="finished", several=True))

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("b", "enter", "2", "f")
        await until(
            pilot,
            lambda: "@@" in text_of(pilot.app) and "FILE: relax" not in text_of(pilot.app),  # type: ignore[arg-type]
            "the diff of a file",
        )

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


def test_runs(runs: Path, make_app: Maker, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(runs / "packing", 40, end="finished")
    make_run(runs / "older", 20, seed=4)
    monkeypatch.chdir(runs.parent)
    # How much space a file takes is the file system's choice.
    monkeypatch.setattr("tui.feed.disk_sizes.disk_bytes", lambda run: 1_234_567)
    app = make_app()
    app.runs = Path("runs")

    async def look(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: text_of(pilot.app).count("1.2 MB") == 2, "the list with its sizes")  # type: ignore[arg-type]

    assert snap_compare(app, terminal_size=(120, 24), run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_replay(runs: Path, make_app: Maker, snap_compare: Compare, size: tuple[int, int]) -> None:
    run = make_run(runs / "packing", 80)
    add_events(
        run, (ev.NodeStarred(), 3), (ev.RunPaused(), None), (ev.RunResumed(), None), (ev.RunFinished("done"), None)
    )
    app = make_app(run)
    app._replay = (400, 50.0, False)

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await until(pilot, lambda: "event 400/" in text_of(pilot.app), "the place")  # type: ignore[arg-type]
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_compare(runs: Path, make_app: Maker, snap_compare: Compare, size: tuple[int, int]) -> None:
    make_run(runs / "packing", 80, end="finished")
    make_run(runs / "another", 60, seed=3, end="finished", rounds=60)
    app = make_app()

    async def look(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: text_of(pilot.app).count("finished") == 2, "the list")  # type: ignore[arg-type]
        await pilot.press("m", "m", "c")
        await until(pilot, lambda: "│" in text_of(pilot.app), "the curves")  # type: ignore[arg-type]

    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_rates_and_devices(runs: Path, make_app: Maker, snap_compare: Compare, size: tuple[int, int]) -> None:
    run = make_run(runs / "quick", 60, rates=True)
    values = {
        "cpu": 0.73, "cores": 16.0, "load": 11.2, "mem_mb": 131072.0, "mem_used_mb": 35840.0, "gpu0.util": 0.87,
        "gpu0.mem_mb": 81920.0, "gpu0.mem_used_mb": 34816.0, "gpu0.power_w": 412.5, "gpu0.power_limit_w": 700.0,
        "gpu0.celsius": 67.0, "gpu0.peak_tflops": 1000.0, "gpu0.peak_gbs": 3352.0,
    }  # fmt: skip
    add_events(
        run, (ev.Telemetry(values, ["NVIDIA H100 80GB HBM3"]), None), (ev.RunFinished("60 rounds are done"), None)
    )
    app = make_app(run)

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press(*("v" for _ in range(4 if size[0] < 100 else 0)))
        await until(pilot, lambda: "tokens_per_s" in text_of(pilot.app), "the panel")  # type: ignore[arg-type]
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_settings(
    make_app: Maker, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = make_app(keymap={"run.pause": "p,f5"})

    async def look(pilot: Pilot[Any]) -> None:
        await pilot.press("f2")
        await until(pilot, lambda: "run.pause" in text_of(pilot.app), "the settings")  # type: ignore[arg-type]

    # The path of the file is another one in each test.
    monkeypatch.setattr("tui.screens.settings.workspace", lambda: Path("workspace"))
    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [(), ("enter",), ("tab",)])
def test_cognition(
    runs: Path,
    workspace: Path,
    make_app: Maker,
    snap_compare: Compare,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    keys: tuple[str, ...],
) -> None:
    folder = runs.parent / "priors"
    folder.mkdir()
    for name, text in PRIORS.items():
        (folder / name).write_text(text)
    monkeypatch.setattr("cognition.rows.now_ms", lambda: 1_760_000_100_000)
    run = make_run(runs / "packing", 80, end="finished", priors=folder)
    collection = open_collection(place_of_run(run.folder, fold(run)))
    with closing(collection.store):
        collection.propose("rings", "# Three rings\n\nOne, eight and seventeen circles.\n", run=run.name, nodes=[3])
    app = make_app(run)

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("C")
        await until(pilot, lambda: re.search(r"[+-]\d\S* +on", text_of(pilot.app)), "the figures")  # type: ignore[arg-type]
        await pilot.press("down", *keys)
        screen = "PriorEditor" if "enter" in keys else "CognitionScreen"
        await until(pilot, lambda: type(pilot.app.screen).__name__ == screen, "the screen")
        shown = "mean change" if "tab" in keys and size[0] > 100 else ""
        await until(pilot, lambda: shown in text_of(pilot.app), "the gains")  # type: ignore[arg-type]
        await until(pilot, lambda: "hexagonal.md  revision 1" in text_of(pilot.app), "the prior")  # type: ignore[arg-type]
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES)
def test_writing(
    runs: Path, make_app: Maker, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr("tui.feed.live.WallClock.now_ms", lambda clock: 1_760_000_100_000)
    monkeypatch.setattr("tests.tui.test_writing.now_ms", lambda: 1_760_000_090_000)
    run = make_run(runs / "packing", 60)
    app = make_app(run)

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        if size[0] < 100:
            await pilot.press(*"vvvv")
        await until(pilot, lambda: "relax(centers" in text_of(pilot.app), "the text")  # type: ignore[arg-type]
        await settled(pilot)

    with lock_run(run):
        writer = Writer(Desk(run))
        writer.event(ev.CallStarted(1, "researcher", "fast", "0" * 64))
        writer.piece(1, "def construct_packing(n=26):\n    centers = rings(n)\n")
        writer.piece(
            1, "    for step in range(STEPS):\n        centers, radii = relax(centers, radii, SHRINK ** step)\n"
        )
        assert snap_compare(app, terminal_size=size, run_before=look)


def test_table(runs: Path, make_app: Maker, snap_compare: Compare) -> None:
    app = make_app(make_run(runs / "packing", 40, end="finished"))

    async def look(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("V", "b")
        await until(pilot, lambda: "score↓" in text_of(pilot.app), "the table")  # type: ignore[arg-type]
        await settled(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=look)


STEPS = {
    "plots": (("b", "tab", "A", "m", "m", "Z", "up", "l", "l", "left"), ", log"),
    "notes": (("Z", "tab", "tab", "tab", "home", "down", "Z"), "answer cut off"),
    "note": (("enter",), "Note of"),
    "settings": (("escape", "Z", "f3", "down"), "Hours of engine time"),
    "money": (("escape", "f4"), "By operator"),
    "ideas": (("escape", "L"), "idea 18 of 18"),
    "ideas-by-operator": (("tab",), "better ones"),
    "marked": (("escape", "escape", "home", "m", "b", "m", "M"), "compared"),
}
"""Screens of one run: the keys from the screen before, and what shows that it is there."""


async def test_screens_of_a_run(runs: Path, make_app: Maker, snapshot: Any) -> None:
    shutil.copytree(ROOT / "sample_runs" / "circle_packing_mixed", runs / "mixed")
    app, snapshot = make_app(Run(runs / "mixed")), snapshot.use_extension(SVGImageExtension)
    unlike: list[str] = []
    async with app.run_test(size=SIZES[-1]) as pilot:
        await opened(pilot)
        assert "4 cut off, 6 no design" in text_of(app), "the narrow title of the notes is whole"
        for name, (keys, shows) in STEPS.items():
            await pilot.press(*keys)
            for size in reversed(SIZES):
                await pilot.resize_terminal(*size)
                await until(pilot, lambda shows=shows: shows in text_of(app), name)
                await settled(pilot)
                if cleaned(app.export_screenshot()) != snapshot(name=f"{name}-{size[0]}"):
                    unlike.append(f"{name}-{size[0]}")
            await pilot.resize_terminal(*SIZES[-1])
    assert not unlike
