"""Show a run of another machine: its own application, through ssh, in this terminal."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import SuspendNotSupported

from engine.errors import EvolveError, UsageError
from engine.runs.hosts import Host, remote_command
from engine.text import one_line
from tui.screens.base import BaseScreen

__all__ = ["open_there"]


def open_there(screen: BaseScreen, name: str, host: Host, arguments: Sequence[str]) -> None:
    """Give the terminal to the application on another machine until the user leaves it.

    Args:
        screen: reports what went wrong.
        name: the machine, in messages.
        host: the machine.
        arguments: of the application there.
    """
    try:
        command = remote_command(host, arguments, True)
        with screen.app.suspend():
            code = screen.navigator.guard.run_child(command)
    except SuspendNotSupported:
        screen.say_error(UsageError("runs of other machines cannot be shown here"))
    except OSError as exc:
        screen.say_error(EvolveError(f"ssh cannot be started: {exc.strerror}", "Install an ssh client"))
    else:
        if code:
            screen.say(
                f"ssh {one_line(name, 40)} ended with code {code}; evolve --host {name} shows what it says", "bad", 10.0
            )
