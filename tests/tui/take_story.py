"""Pictures for the page on priors of one story on a real run: paused, a prior corrected, resumed, the effect seen.

python -m tests.tui.take_story RUNS OUT RUN PRIOR TEXT
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
from tests.tui.pilot import opened, text_of, until
from tests.tui.svg import save_picture
from tui.feed.live import LiveFeed
from tui.settings import TuiSettings
from tui.textual_app import EvolveApp


async def take(runs: Path, out: Path, name: str, prior: str, text: str) -> None:
    """Draw the screens; the run is to be paused, and has an engine again when it is over."""
    app = EvolveApp(runs, Run(runs / name), TuiSettings(), LiveFeed)
    async with app.run_test(size=(120, 36)) as pilot:

        async def save(picture: str) -> None:
            await pilot.pause(1.0)
            save_picture(app, out / f"{picture}-120.svg")

        await opened(pilot)
        await pilot.press("C")
        await until(pilot, lambda: re.search(r"[+-]\d\S* +on", text_of(app)), "the figures")
        await pilot.press("s", "g")
        await save("story-list")
        await pilot.press("ampersand", *prior, "enter", "enter", "ctrl+home", *("down", "down"))
        await pilot.press(*text, "enter")
        await save("story-editor")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "is saved as revision" in text_of(app), "the new revision")
        await pilot.press("escape", "escape", "p")
        for _ in range(6000):
            await pilot.pause(0.05)
            if re.search(r"from round \d+ rev", text_of(app)):
                break
        await save("story-used")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]).absolute(), Path(sys.argv[2]), *sys.argv[3:]))
