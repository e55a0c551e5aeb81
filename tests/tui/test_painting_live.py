"""The live screen at its own pace: once it is quiet, the terminal shows what one painting of everything would show."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pyte
import pytest
from textual.pilot import Pilot

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.tui.pilot import settled, until
from tests.tui.synthetic import Synthesizer
from tests.tui.test_session import ScriptedFeed
from tui.feed.batch import Batch
from tui.model.run_model import fold_model
from tui.screens.live import LiveScreen
from tui.settings import TuiSettings
from tui.textual_app import EvolveApp
from tui.widgets.painted import Painted

SIZES = ((120, 40), (80, 24), (100, 33))
KEYS = ("down", "down", "up", "space", "left", "right", "pagedown", "pageup", "z", "b", "f", "o", "v", "end", "home")


class EmulatedApp(EvolveApp):
    """Writes its frames into a terminal emulator."""

    def __init__(self, runs: Path, run: Run) -> None:
        super().__init__(runs, run, TuiSettings(), lambda run: ScriptedFeed())
        self.emulated = pyte.Stream(pyte.Screen(*SIZES[0]))

    def _display(self, screen: Any, renderable: Any) -> None:
        if renderable is not None and self._running and not self._batch_count:
            self.emulated.feed(renderable.render_segments(self.console))
        super()._display(screen, renderable)

    @property
    def shown(self) -> list[str]:
        """The emulator's rows."""
        return list(self.emulated.listener.display)  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(3))
async def test_live_screen_at_rest_equals_one_full_painting(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    pen = Synthesizer(seed=seed, rates=True, hostile=seed == 1)
    model = fold_model(pen.begin())
    run = Run(tmp_path / "run")
    app = EmulatedApp(tmp_path, run)
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), "the screen")
        session = app.session
        assert session is not None
        session.take(Batch(run, alive=True, model=model))
        for _ in range(60):
            what = dice.random()
            if what < 0.6:
                session.take(Batch(run, True, tuple(event for _ in range(3) for event in pen.advance())))
            elif what < 0.65:
                values = {"cpu": dice.random(), "cores": 8.0, "load": 3.0}
                session.take(Batch(run, True, (pen.event(ev.Telemetry(values)),)))
            elif what < 0.9:
                await pilot.press(dice.choice(KEYS))
            elif what < 0.95:
                await _look_elsewhere(pilot, dice.choice(("enter", "slash", "question_mark")))
            else:
                columns, rows = dice.choice(SIZES)
                app.emulated.listener.resize(rows, columns)  # type: ignore[union-attr]
                await pilot.resize_terminal(columns, rows)
            await asyncio.sleep(dice.random() * 0.03)
        await settled(pilot)
        shown = app.shown
        assert "Population" in "".join(shown)
        _paint_whole(app)
        await until(pilot, lambda: shown == app.shown, "what was shown before")


async def _look_elsewhere(pilot: Pilot[Any], key: str) -> None:
    """To another screen and back."""
    await pilot.press(key)
    await pilot.pause()
    if not isinstance(pilot.app.screen, LiveScreen):
        await pilot.press("escape")
    await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen), "the screen again")


def _paint_whole(app: EmulatedApp) -> None:
    for widget in app.screen.query(Painted):
        widget.repaint_all()
    app.emulated.listener.reset()  # type: ignore[union-attr]
    app.screen.refresh()
