"""Find on this machine what a command of the settings needs: its program, its variables, what it may read."""

# pathlib raises for a name that is too long, or that nobody may look at: a word such as "/review …" is any text.
# ruff: noqa: PTH110, PTH111, PTH113

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from engine.settings.command import INSTRUCTION, CommandSettings

__all__ = ["arguments_of", "lack_of", "program_path", "shown_paths", "stdin_of"]

_SAID = "Read README.md in this folder, and do what it says: change the files in program/, and end."
_ACP_CLIENT = Path(__file__).with_name("acp_client.py")
_ACP_PLACE = ".evolve/acp_client.py"


def lack_of(settings: CommandSettings) -> str:
    """Return why a command cannot be run here, one clause; empty if nothing is known to be missing."""
    if not settings.run:
        return "command.run names no program"
    if not program_path(settings):
        return f"command.run names '{settings.run[0]}', which is neither on PATH nor a file that can be run"
    unset = [name for name in settings.environment if name not in os.environ]
    if unset:
        return f"command.environment names {', '.join(unset)}, which the engine's environment lacks"
    gone = [path for path in settings.readable if not os.path.exists(os.path.expanduser(path))]
    if gone:
        return f"command.readable names {gone[0]}, which does not exist"
    if settings.protocol == "acp" and find_spec("acp") is None:
        return "command.protocol is acp, which needs a package: pip install 'asi-evolve-tui[agents]'"
    return ""


def program_path(settings: CommandSettings) -> str:
    """Return the absolute path of a command's program; empty if there is none."""
    name = settings.run[0]
    found = shutil.which(os.path.expanduser(name) if "/" in name else name)
    return str(Path(found).absolute()) if found else ""


def shown_paths(settings: CommandSettings) -> list[str]:
    """Return what a command may read: what the settings name, its program, and files that its words name."""
    program = program_path(settings)
    named = [word for word in settings.run[1:] if word.startswith("/") and os.path.isfile(word)]
    paths = [*map(os.path.expanduser, settings.readable), program, str(Path(program).resolve())]
    return list(dict.fromkeys([*paths, *named]))


def arguments_of(settings: CommandSettings) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """Return the words by which a command is started in its folder, and the files beside others that these need.

    An agent that speaks ACP is started by a script of ours, which asks and answers it.
    """
    words = (program_path(settings), *(word.replace(INSTRUCTION, _SAID) for word in settings.run[1:]))
    if settings.protocol == "plain":
        return words, {}
    return (sys.executable, "-I", _ACP_PLACE, *words), {_ACP_PLACE: _ACP_CLIENT.read_bytes()}


def stdin_of(settings: CommandSettings) -> str:
    """Return the file of its folder that is a command's standard input; empty for none."""
    told = settings.protocol == "acp" or any(INSTRUCTION in word for word in settings.run)
    return "" if told else "README.md"
