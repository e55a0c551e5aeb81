"""The application of one browser's connection: `python -m tui.web RUNS [RUN]`, started by the web server.

`EVOLVE_WEB=steer` in the environment lets it steer; without it the application only reads.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from engine.runs.folder import Run
from tui.access import Access

__all__ = ["STEER", "VARIABLE", "main"]

VARIABLE = "EVOLVE_WEB"
STEER: Literal["steer"] = "steer"


def main(arguments: list[str]) -> None:
    """Run the application on the server's pipes until the browser leaves."""
    from tui.app import set_switches

    set_switches()
    from engine.workspace import workspace
    from tui.feed.live import LiveFeed
    from tui.log import open_log
    from tui.settings import read_settings
    from tui.textual_app import EvolveApp

    runs = Path(arguments[0])
    run = Run(runs / arguments[1]) if len(arguments) > 1 else None
    access: Access = STEER if os.environ.get(VARIABLE) == STEER else "read"
    os.environ[VARIABLE] = access
    log = open_log(workspace() / "state")
    app = EvolveApp(runs, run, read_settings(workspace() / "config.toml"), LiveFeed, log, access=access)
    app.run()
    if app.session is not None:
        app.session.stop()
        app.session.feed.wait(1.0)


if __name__ == "__main__":
    main(sys.argv[1:])
