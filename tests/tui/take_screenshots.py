"""Pictures for the README: Runs, Live and Node of a real run, by Textual's own export.

python -m tests.tui.take_screenshots RUNS RUN OUT
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_THEME", "evolve-dark")

from engine.run import Run
from tui.application import EvolveApp
from tui.feed.live import LiveFeed
from tui.settings import TuiSettings


async def take(runs: Path, name: str, out: Path) -> None:
    """Draw the three screens."""
    out.mkdir(parents=True, exist_ok=True)
    app = EvolveApp(runs, None, TuiSettings(), LiveFeed)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(2.0)
        app.save_screenshot("runs.svg", str(out))
        app.attach(Run(runs / name))
        await pilot.pause(2.0)
        await pilot.press("b")
        await pilot.pause(1.0)
        app.save_screenshot("live.svg", str(out))
        await pilot.press("enter", "2")
        await pilot.pause(1.5)
        app.save_screenshot("node.svg", str(out))

    for picture in out.glob("*.svg"):
        # The fonts would be loaded from elsewhere; a reader's own will do.
        picture.write_text(re.sub(r"@font-face\s*\{.*?\}\s*", "", picture.read_text("utf-8"), flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]).absolute(), sys.argv[2], Path(sys.argv[3])))
