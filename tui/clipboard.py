"""Copy a text even if the terminal drops it: a file and tmux's buffer keep copies that are certain."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["keep_copy"]

_TMUX_SECONDS = 2.0


def keep_copy(text: str, folder: Path) -> str:
    """Write a text to a file and to tmux's buffer; return a message that says where it is.

    A program cannot know whether a terminal accepts OSC 52 (tmux drops it by default), so the message never claims it.

    Args:
        text: the copied text.
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
