"""Find on this machine what a command of the settings needs: its program, its variables, what it may read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.settings.command import CommandSettings

__all__ = ["lack_of", "program_path", "shown_paths"]


def lack_of(settings: CommandSettings) -> str:
    """Return why a command cannot be run here, one clause; empty if nothing is known to be missing."""
    if not settings.run:
        return "command.run names no program"
    if not program_path(settings):
        return f"command.run names '{settings.run[0]}', which is neither on PATH nor a file that can be run"
    unset = [name for name in settings.environment if name not in os.environ]
    if unset:
        return f"command.environment names {', '.join(unset)}, which the engine's environment lacks"
    gone = [path for path in settings.readable if not Path(path).expanduser().exists()]
    return f"command.readable names {gone[0]}, which does not exist" if gone else ""


def program_path(settings: CommandSettings) -> str:
    """Return the absolute path of a command's program; empty if there is none."""
    name = settings.run[0]
    found = shutil.which(str(Path(name).expanduser()) if "/" in name else name)
    return str(Path(found).absolute()) if found else ""


def shown_paths(settings: CommandSettings) -> list[str]:
    """Return what a command may read: what the settings name, its program, and files that its words name."""
    program = program_path(settings)
    named = [word for word in settings.run[1:] if word.startswith("/") and Path(word).is_file()]
    paths = [*(str(Path(path).expanduser()) for path in settings.readable), program, str(Path(program).resolve())]
    return list(dict.fromkeys([*paths, *named]))
