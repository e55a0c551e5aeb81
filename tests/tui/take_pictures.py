"""Pictures for the pages: screens on real runs at three sizes, opened by the keys that a person presses.

python -m tests.tui.take_pictures OUT [NAME...]

Runs that the list, the plots and so on show are the sample runs; priors need a run of this workspace, which is made
first (two minutes, kept in the folder of EVOLVE_HOME). OUT/NAME-COLUMNS.svg are written; NAMEs choose scenes.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_THEME", "evolve-dark")
os.environ["TZ"] = "UTC"
time.tzset()

from textual.pilot import Pilot

from engine.runs.folder import Run
from engine.workspace import workspace
from tests.tui.pilot import opened, settled, text_of, until
from tests.tui.svg import save_picture
from tui.feed.live import LiveFeed
from tui.settings import TuiSettings
from tui.textual_app import EvolveApp

SIZES = [(80, 24), (120, 40), (200, 50)]
_SAMPLES = Path(__file__).parents[2] / "sample_runs"
_HERE = (
    "circle_packing_recombine", "circle_packing_steered", "circle_packing_fork", "circle_packing_mixed",
    "autocorrelation_recombine", "curve_standstill",
)  # fmt: skip
_THERE = ("kernel_speed_recombine", "linear_attention_recombine")
_OWN = "packing"


@dataclass(frozen=True)
class Scene:
    """One picture: a run (empty: the list of runs), the keys from its first screen, and what shows that it is there."""

    name: str
    run: str
    keys: tuple[str, ...]
    shows: str = ""


_BEST = "circle_packing_recombine"
SCENES = [
    Scene("runs", "", ()),
    Scene("live", "circle_packing_mixed", ("b",)),
    Scene("table", _BEST, ("V", "b"), "score↓?"),
    Scene("plots", _BEST, ("b", "tab", "A", "m", "m", "A", "a", "Z"), "by round"),
    Scene("plot-log", "curve_standstill", ("b", "tab", "Z"), ", log"),
    Scene("node", _BEST, ("b", "enter", "2"), "@@|│"),
    Scene("money", "circle_packing_mixed", ("f4",), "At this pace"),
    Scene("cognition", _OWN, ("C", "s", "g"), r"[+-]\d\S* +on"),
    Scene("prior-gains", _OWN, ("C", "s", "g", "down", "tab"), "in this run"),
    Scene("recorded-priors", _BEST, ("C", "down"), "from its journal|recorded"),
    Scene("digest", "circle_packing_steered", ("B",), "improvements"),
    Scene("run-settings", "circle_packing_steered", ("f3",), "rounds"),
    Scene("ideas", _BEST, ("L",), "kept"),
    Scene("ideas-by-prior", _BEST, ("L", "tab", "tab"), "prior"),
    Scene("compare", "", ("end", "up", "up", "m", "m", "m", "c"), "│"),
    Scene("marked", _BEST, ("home", "m", "b", "m", "M"), "compared"),
    Scene("notes", _BEST, ("tab", "tab", "tab", "tab", "Z"), "Notes"),
    Scene("note", _BEST, ("tab", "tab", "tab", "tab", "enter"), "Note of"),
    Scene("help", _BEST, ("question_mark",), "Steer the run"),
    Scene("calls", "circle_packing_mixed", ("W", "enter"), "researcher"),
    Scene("call", "circle_packing_mixed", ("W", "enter", "enter"), "rompt"),
    Scene("population", _BEST, ("b", "Z"), "▲"),
    Scene("replay", _BEST, ("T", "t", *"62%", "enter", "b"), "event "),
    Scene("settings", "", ("f2",), "theme"),
]


def prepare() -> Path:
    """Return the folder of runs of the workspace, with the runs that the scenes need."""
    home = workspace()
    command = [str(Path(sys.executable).with_name("evolve"))]
    for folder, names in ((home / "runs", _HERE), (home / "there" / "runs", _THERE)):
        for name in names:
            if not (folder / name).exists():
                shutil.copytree(_SAMPLES / name, folder / name)
    if not (home / "runs" / _OWN).exists():
        how = ("--designer", "recombine", "--rounds", "40", "--seed", "7", "--name", _OWN, "--headless")
        subprocess.run([*command, "run", "circle_packing", *how], check=True)
    subprocess.run([*command, "tag", "circle_packing_steered", "steered", "good"], check=True)
    # A machine that ssh reaches, as far as the list can tell: the words go to a shell with another workspace.
    stub = home / "bin" / "ssh"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(f'#!/bin/sh\nfor words; do :; done\nEVOLVE_HOME={home}/there exec sh -c "$words"\n')
    stub.chmod(0o755)
    (home / "config.toml").write_text(f'[hosts.gpu1]\nevolve = "{command[0]}"\n')
    os.environ["PATH"] = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    # The list names its folder: not a path of this machine.
    os.chdir(home)
    return Path("runs")


async def take(runs: Path, out: Path, scene: Scene) -> None:
    """Open a scene and write its picture at each size."""
    for kept in ("layout.json", "seen.json"):
        (workspace() / "state" / kept).unlink(missing_ok=True)
    app = EvolveApp(runs, Run(runs / scene.run) if scene.run else None, TuiSettings(), LiveFeed)
    async with app.run_test(size=SIZES[-1]) as pilot:
        await _look(pilot, app, scene)
        for size in reversed(SIZES):
            if size != SIZES[-1]:
                await pilot.resize_terminal(*size)
                await pilot.pause(1.0)
            await settled(pilot)
            save_picture(app, out / f"{scene.name}-{size[0]}.svg")


async def _look(pilot: Pilot[Any], app: EvolveApp, scene: Scene) -> None:
    if scene.run:
        await opened(pilot)
    else:
        # The sizes on the disk and the other machine's runs come last.
        await until(pilot, lambda: all(word in text_of(app) for word in ("gpu1", "kB")), "the list of runs")
    for key in scene.keys:
        await pilot.press(key)
        await pilot.pause(0.1)
    if scene.shows:
        await until(pilot, lambda: re.search(scene.shows, text_of(app)), scene.name)
    await pilot.pause(1.0)
    await settled(pilot)


def main(out: Path, names: list[str]) -> None:
    """Write the pictures of the scenes of these names, or of all."""
    out = out.absolute()
    runs = prepare()
    for scene in SCENES:
        if not names or scene.name in names:
            try:
                asyncio.run(take(runs, out, scene))
            except AssertionError as exc:
                print(f"{scene.name}: {exc}", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
