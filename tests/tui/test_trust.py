"""The application asks before code from elsewhere runs: at the start of a run and where one is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.widgets import Static

from engine.runs.folder import Run, all_runs
from engine.task.scaffold import write_task
from tests.tui.pilot import Maker, opened, until
from tests.tui.synthetic import make_run
from tui import acts
from tui.screens.live import LiveScreen
from tui.screens.runs import RunsScreen
from tui.screens.trust import TrustQuestion


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs whose engine would have been started."""
    found: list[Run] = []
    monkeypatch.setattr(acts, "_spawn", found.append)
    return found


def shown(app: Any) -> str:
    """What the question says, without its table."""
    return "\n".join(str(part.render()) for part in app.screen.query(Static))


async def test_new_run_of_a_folder_from_elsewhere(
    runs: Path,
    tmp_path: Path,
    make_app: Maker,
    spawned: list[Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a short path is soon typed
    task = write_task(tmp_path / "foreign")
    (task / "task.toml").write_text('mounts = ["/usr/share"]\n' + (task / "task.toml").read_text())
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for answer in ("n", "m"):
            await pilot.press("t", *"foreign", "enter", "3", "enter")
            await until(pilot, lambda: isinstance(app.screen, TrustQuestion), "the question")
            await pilot.pause()
            assert "foreign has never been run here. It brings code:" in shown(app)
            assert "! it reads /usr/share" in shown(app)
            assert app.screen.query_one(VerticalScroll).max_scroll_y == 0, "it fits the screen"
            assert not all_runs(runs)
            await pilot.press(answer)
            if answer == "n":
                await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the list")
        await until(pilot, lambda: spawned, "the run")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), "the run's screen")
        (task / "brief.md").write_text("Edited.\n")
        acts.new_run(str(task), runs, 3, "again", lambda run: None)


async def test_run_from_elsewhere_is_resumed_after_a_question(runs: Path, make_app: Maker, spawned: list[Run]) -> None:
    run = make_run(runs / "alpha", 5)
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, TrustQuestion), "the question")
        assert "Run 'alpha' was not made here" in shown(app)
        await pilot.press("m")
        assert isinstance(app.screen, TrustQuestion), "a run is not a folder that a person edits"
        await pilot.press("y")
        await until(pilot, lambda: spawned == [run], "the start")
