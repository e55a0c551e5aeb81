"""The entry: `run_tui`. It sets Textual's switches in the environment, then imports Textual."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from engine.errors import UsageError
from engine.runs.folder import Run, is_alive

__all__ = ["describe_return", "run_tui", "set_switches"]

_LET_GO_SECONDS = 1.0
_SWITCHES = {
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",
    "TEXTUAL_THEME": "evolve-dark",
}
"""Textual reads these when it is imported. Over a slow line animations cost too many bytes."""


def run_tui(
    runs: Path, run: Run | None = None, mouse: bool = False, replay: tuple[int | None, float, bool] | None = None
) -> int:
    """Show the application in this terminal until the user leaves it or the terminal goes; return the exit code.

    Leaving never touches the run. After a hang-up the process exits at once with code 129.

    Args:
        runs: the folder of the runs.
        run: the run to show; None for the list of runs.
        mouse: use mouse events, whatever config.toml says.
        replay: replay the run: the event to start at (None: the first), the speed as a multiple of the recorded one,
            whether to play at once.

    Raises:
        UsageError: this is no terminal, or one that cannot move its cursor, or config.toml is invalid.
    """
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError("this is not a terminal", "Use --headless, or 'evolve runs' and 'evolve show'")
    if os.environ.get("TERM") == "dumb":
        raise UsageError(
            "TERM=dumb says that this terminal cannot move its cursor",
            "If it can, set TERM, such as TERM=xterm-256color; else use --headless, or 'evolve runs' and 'evolve show'",
        )
    set_switches()
    for name in ("COLUMNS", "LINES"):
        # If a shell exports them, Textual believes them instead of asking the terminal, and misses every resize.
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
        # Textual's threads may be stuck in writes to a terminal that is gone.
        os._exit(HANGUP_EXIT)
    if app.session is not None:
        app.session.stop()
        # So that an ended run is left as one plain file.
        app.session.feed.wait(_LET_GO_SECONDS)
    if app.session is not None and not app.session.is_replay and app.session.run.db.exists():
        print(describe_return(app.session.run, app.session.status))  # noqa: T201
    return code


def set_switches() -> None:
    """Set what Textual reads when it is imported, and leave garbage for later."""
    # Objects made at the start stay alive: collecting garbage among them took a fifth of the start.
    gc.disable()
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)


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
