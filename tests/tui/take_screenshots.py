"""Pictures for the README: every screen on real runs, by Textual's own export.

python -m tests.tui.take_screenshots RUNS OUT RUN RUN...
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_THEME", "evolve-dark")

from engine.runs.folder import Run
from tui.feed.live import LiveFeed
from tui.settings import TuiSettings
from tui.textual_app import EvolveApp


async def take(runs: Path, names: list[str], out: Path) -> None:
    """Draw the screens: Live, Node and Replay of the first run, all of them compared."""
    out.mkdir(parents=True, exist_ok=True)
    app = EvolveApp(runs, None, TuiSettings(), LiveFeed)
    async with app.run_test(size=(120, 36)) as pilot:

        async def save(name: str, *keys: str) -> None:
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.5)
            await pilot.pause(2.0)
            app.save_screenshot(f"{name}.svg", str(out))

        await save("runs")
        await save("compare", *("m" for _ in names), "c")
        await save("settings", "escape", "f2")
        await pilot.press("escape")
        app.attach(Run(runs / names[0]))
        await pilot.pause(2.0)
        await save("live", "b")
        await save("table", "V")
        await save("plots", "V", "tab", "A", "Z")
        await pilot.press("D", "escape", "escape")
        await save("run-settings", "f3")
        await pilot.press("escape")
        await save("ideas", "L")
        await save("ideas-by-prior", "tab", "tab")
        await pilot.press("escape")
        await save("recorded-priors", "C", "down")
        await pilot.press("escape")
        await save("money", "f4")
        await pilot.press("escape")
        await save("node", "enter", "2")
        await pilot.resize_terminal(160, 36)
        await save("node-beside", "D")
        await pilot.resize_terminal(120, 36)
        await pilot.press("escape", "home", "m", "b", "m")
        await save("marked", "M")
        await pilot.press("u", "b")
        await pilot.resize_terminal(200, 50)
        await save("live-wide")
        await pilot.resize_terminal(80, 24)
        await save("live-narrow")
        await pilot.resize_terminal(120, 36)
        app.replay(Run(runs / names[0]), playing=False)
        await pilot.pause(2.0)
        await save("replay", "t", *"62%", "enter", "b")

    for picture in out.glob("*.svg"):
        # The fonts would be loaded from elsewhere; a reader's own will do.
        picture.write_text(re.sub(r"@font-face\s*\{.*?\}\s*", "", picture.read_text("utf-8"), flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]).absolute(), sys.argv[3:], Path(sys.argv[2])))
