"""The application's own log: a rotating file, never the terminal."""

from __future__ import annotations

import logging
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path

__all__ = ["open_log", "tail_log"]

_BYTES = 1 << 20
_KEPT = 3


def open_log(folder: Path) -> Path | None:
    """Send this process's log to `tui.log` in a folder; return its path, or None if it cannot be written."""
    path = folder / "tui.log"
    root = logging.getLogger()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True)
    except OSError:
        root.addHandler(logging.NullHandler())
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # A log that cannot be written must not print errors onto the screen.
    logging.raiseExceptions = False
    return path


def tail_log(path: Path | None, lines: int = 200) -> str:
    """Return the last lines of the log."""
    if path is None or not path.exists():
        return "nothing is logged yet"
    with path.open(encoding="utf-8", errors="backslashreplace") as file:
        return "".join(deque(file, maxlen=lines))
