"""Copying over a line that may drop it: the terminal is asked, and a file and tmux keep a copy that is certain."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["keep_copy"]

_TMUX_SECONDS = 2.0


def keep_copy(text: str, folder: Path) -> str:
    """Write a text where it can be found again, and say where that is.

    Whether a terminal takes OSC 52 cannot be known (tmux drops it by default), so nobody is told that it did.

    Args:
        text: what is copied.
        folder: the workspace's cache folder.
    """
    said = ["sent to the terminal's clipboard"]
    path = folder / "clipboard.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o600)
        said.append(f"kept in {path}")
    except OSError:
        pass
    if os.environ.get("TMUX") and _load_tmux_buffer(text):
        said.append("in tmux's buffer")
    return ", ".join(said)


def _load_tmux_buffer(text: str) -> bool:
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-"],
            input=text.encode("utf-8", "surrogateescape"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
