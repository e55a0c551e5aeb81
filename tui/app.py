"""The way in: `run_tui`. Nothing of Textual is imported before its switches are set."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from engine.errors import UsageError
from engine.runs.folder import Run, is_alive

__all__ = ["describe_return", "run_tui"]

_LET_GO_SECONDS = 1.0
_SWITCHES = {
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",
    "TEXTUAL_THEME": "evolve-dark",
}
"""Read by Textual when it is imported. Over a slow line every animation is a flood."""


def run_tui(
    runs: Path, run: Run | None = None, mouse: bool = False, replay: tuple[int | None, float, bool] | None = None
) -> int:
    """Show the application in this terminal until the person leaves it or the terminal goes; returns the exit code.

    The run is never touched by leaving. After a hang-up the process ends at once with code 129.

    Args:
        runs: the folder of the runs.
        run: the run to look at; the list of runs for None.
        mouse: take mouse events, whatever config.toml says.
        replay: show how the run went: the event to begin at (None: the first), how many times faster than recorded,
            whether it plays at once.

    Raises:
        UsageError: this is no terminal, or config.toml holds what cannot be.
    """
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError("this is no terminal", "Use --headless, or 'evolve runs' and 'evolve show'")
    # Whatever a start makes, it keeps: looking through that for garbage took a fifth of the time.
    gc.disable()
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    for name in ("COLUMNS", "LINES"):
        # Where a shell exports them they are believed before the terminal is asked, and no resize is seen.
        os.environ.pop(name, None)
    from engine.workspace import workspace
    from tui.feed.live import LiveFeed
    from tui.guard import HANGUP_EXIT
    from tui.log import open_log
    from tui.settings import read_settings

    settings = read_settings(workspace() / "config.toml")
    log = open_log(workspace() / "state")
    from tui.textual_app import EvolveApp

    app = EvolveApp(runs, run, settings, LiveFeed, log, replay, hints=True)
    app.run(mouse=mouse or settings.mouse)
    code = app.return_code or 0
    if code == HANGUP_EXIT:
        # Textual's threads may be stuck in writes that nobody will ever take.
        os._exit(HANGUP_EXIT)
    if app.session is not None:
        app.session.stop()
        # So that a run which is over is left as one plain file.
        app.session.feed.wait(_LET_GO_SECONDS)
    if app.session is not None and not app.session.is_replay and app.session.run.db.exists():
        print(describe_return(app.session.run, app.session.status))  # noqa: T201
    return code


def describe_return(run: Run, status: str) -> str:
    """Return the line that says how a run was left and which command shows it again.

    Args:
        run: the run that was watched.
        status: its status as the application knew it; `opening` if it was not read yet.
    """
    if is_alive(run):
        stands, verb = "goes on", "attach"
    elif status == "finished":
        stands, verb = "is finished", "attach"
    elif status == "opening":
        stands, verb = "was not read yet", "attach"
    else:
        stands, verb = "has no engine at work", "resume"
    return f"Run '{run.name}' {stands}. Come back with: evolve {verb} {run.typed}"
