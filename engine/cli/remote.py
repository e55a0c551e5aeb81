"""`evolve --host HOST …`: the same command on another machine, through the user's own ssh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from engine.errors import UsageError
from engine.runs.hosts import run_on

__all__ = ["run_remotely"]


def run_remotely(arguments: Sequence[str]) -> NoReturn:
    """Become ssh, which runs the rest of the command line there; without a rest it shows the list of runs there.

    Args:
        arguments: `--host`, the host and the rest, or `--host=HOST` and the rest.

    Raises:
        UsageError: there is no host, or it cannot be one.
        RunError: ssh cannot be started.
    """
    first, *rest = arguments
    name = first.partition("=")[2]
    if "=" not in first:
        name, *rest = rest or [""]
    if not name:
        raise UsageError("--host needs the name of a machine", "As in: evolve --host gpu1 runs")
    on_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    run_on(name, rest, on_terminal)
