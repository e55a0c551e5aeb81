"""The command that shows how a run went: replay."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.cli.app import RunArgument, RunsOption, app, pick
from engine.errors import UsageError
from engine.journal import JournalReader

__all__: list[str] = []


@app.command()
def replay(
    run: RunArgument = None,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Play so many times faster than recorded, 1 to 1000; else 10.")
    ] = None,
    at: Annotated[
        int | None, typer.Option(metavar="SEQ", help="Stand at this event; without it, play from the start.", min=1)
    ] = None,
    mouse: Annotated[bool, typer.Option("--mouse", help="Take mouse events.")] = False,
    runs: RunsOption = None,
) -> None:
    """See how a run went; the run is only read. 'evolve events RUN' prints the same as text."""
    if speed is not None and not 1 <= speed <= 1000:
        raise UsageError("--speed lies between 1 and 1000")
    picked = pick(run, runs)
    if at is not None:
        with JournalReader(picked.db) as reader:
            last = reader.last_seq()
        if at > last:
            raise UsageError(f"run '{picked.name}' has no event {at}; its events are 1 to {last}")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("this is no terminal", f"'evolve events {picked.name}' prints what was recorded")
    from tui.app import run_tui

    playing = at is None or speed is not None
    raise typer.Exit(run_tui(picked.folder.parent, picked, mouse, (at, speed or 10, playing)))
