"""Drive the application without a terminal: wait until something holds, and read what is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static

from tui.screens.live import LiveScreen
from tui.screens.replay import ReplayScreen
from tui.textual_app import EvolveApp
from tui.widgets.painted import Painted, Throttle

__all__ = ["SIZES", "Maker", "hint_of", "opened", "press", "rested", "row_of", "settled", "text_of", "until"]

Maker = Callable[..., EvolveApp]


SIZES = [(80, 24), (120, 40)]


def text_of(app: EvolveApp) -> str:
    """Everything that the screen's painted widgets show."""
    lines = []
    for widget in app.screen.query(Painted):
        if widget.display and widget.size.height:
            lines += [widget.row_strip(y).text.rstrip() for y in range(widget.size.height)]
    return "\n".join(lines)


async def until(pilot: Pilot[Any], condition: Callable[[], object], what: str) -> None:
    """Let the application work until something holds."""
    deadline = time.monotonic() + 90
    while True:
        await pilot.pause(0.02)
        if condition():
            return
        assert time.monotonic() < deadline, f"waited for {what}\n{text_of(pilot.app)}"  # type: ignore[arg-type]


async def settled(pilot: Pilot[Any]) -> None:
    """Let the screen paint all that it has put off."""
    parts = [pilot.app.screen, *pilot.app.screen.query("*")]
    put_off = [value for part in parts for value in vars(part).values() if isinstance(value, Throttle)]
    await until(pilot, lambda: not any(throttle._timer for throttle in put_off), "the last painting")
    await pilot.pause()


async def opened(pilot: Pilot[Any]) -> LiveScreen | ReplayScreen:
    """The screen of a run once the run is read."""
    app: Any = pilot.app
    await until(pilot, lambda: app.session is not None and app.session.model is not None, "the run to be read")
    await pilot.pause()
    assert isinstance(app.screen, LiveScreen | ReplayScreen)
    await until(pilot, lambda: app.screen.view.ready, "the first paint")
    return app.screen


async def rested(seconds: float, painted: list[object]) -> None:
    """Wait until nothing was painted for so long.

    Args:
        seconds: how long.
        painted: what the test appends to at each painting.

    Raises:
        AssertionError: the painting never ends.
    """
    deadline = time.monotonic() + 90
    while True:
        painted.clear()
        await asyncio.sleep(seconds)
        if not painted:
            return
        assert time.monotonic() < deadline, f"painted {len(painted)} times in {seconds} s"


def hint_of(app: EvolveApp) -> str:
    """What stands below the line of a prompt."""
    return str(app.screen.query_one("#hint", Static).render())


def row_of(app: EvolveApp, node: int) -> str:
    """The row of a node in the tree; empty if it is not seen."""
    return next((line for line in text_of(app).splitlines() if f"#{node} " in line), "")


def press(widget: Any, action: str) -> None:
    """Do what a key does."""
    name, _, number = action.rstrip(")").partition("(")
    getattr(widget, f"action_{name}")(*([int(number)] if number else []))
