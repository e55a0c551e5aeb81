"""Start the application without the command line's library, which takes as long to load as Textual."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.cli.pick import existing_folder, pick
from engine.errors import UsageError
from engine.journal.reader import JournalReader

__all__ = ["show_replay", "way_in"]

_OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {
    "": {"runs": Path},
    "attach": {"runs": Path},
    "replay": {"runs": Path, "speed": float, "at": int},
}


def way_in(arguments: Sequence[str]) -> Callable[[], int] | None:
    """Return what to run for `evolve`, `evolve attach` or `evolve replay` in a terminal; None for anything else.

    Anything else goes to the command line's library, which has the help and the error messages.
    """
    command, *rest = arguments or [""]
    if command == "--runs":
        command, rest = "", [*arguments]
    if command not in _OPTIONS:
        return None
    options: dict[str, Any] = {}
    names: list[str] = []
    words = iter(rest)
    for word in words:
        name = word.removeprefix("--")
        try:
            if word == "--mouse" and command:
                options["mouse"] = True
            elif word.startswith("--") and name in _OPTIONS[command]:
                options[name] = _OPTIONS[command][name](next(words))
            elif word.startswith("-"):
                return None
            else:
                names.append(word)
        except (StopIteration, ValueError):
            return None
    if len(names) > (1 if command else 0) or options.get("at", 1) < 1:
        return None
    if command == "attach" and os.environ.get("TERM") == "dumb":
        return None  # it prints lines there
    shows: dict[str, Callable[..., int]] = {"": _show_runs, "attach": _show_live, "replay": show_replay}
    return partial(shows[command], *names, **options)


def _show_runs(runs: Path | None = None) -> int:
    from tui.app import run_tui

    return run_tui(existing_folder(runs))


def _show_live(run: str | None = None, runs: Path | None = None, mouse: bool = False) -> int:
    from tui.app import run_tui

    return run_tui(existing_folder(runs), pick(run, runs), mouse)


def show_replay(
    run: str | None = None,
    runs: Path | None = None,
    speed: float | None = None,
    at: int | None = None,
    mouse: bool = False,
) -> int:
    """Replay a run in this terminal and return the exit code. Without an event it plays from the start.

    Raises:
        RunError: there is no such run.
        UsageError: there is no such event or speed, or this is not a terminal.
    """
    if speed is not None and not 1 <= speed <= 1000:
        raise UsageError("--speed must lie between 1 and 1000")
    picked = pick(run, runs)
    if at is not None:
        with JournalReader(picked.db) as reader:
            last = reader.last_seq()
        if at > last:
            raise UsageError(f"run '{picked.name}' has no event {at}; its events are 1 to {last}")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("this is not a terminal", f"'evolve events {picked.typed}' prints what was recorded")
    from tui.app import run_tui

    return run_tui(existing_folder(runs), picked, mouse, (at, speed or 10.0, at is None or speed is not None))
