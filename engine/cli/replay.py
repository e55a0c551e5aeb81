"""`evolve replay`: show how a run went."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.app import RunArgument, RunsOption, app
from engine.cli.way_in import show_replay

__all__: list[str] = []


@app.command()
def replay(
    run: RunArgument = None,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Speed, 1 to 1000 times the recorded one; by default 10.")
    ] = None,
    at: Annotated[
        int | None, typer.Option(metavar="SEQ", help="Event to stop at; without it, play from the start.", min=1)
    ] = None,
    mouse: Annotated[bool, typer.Option("--mouse", help="Take mouse events.")] = False,
    runs: RunsOption = None,
) -> None:
    """Replay a run in the application; the run is only read. 'evolve events RUN' prints the same as text."""
    raise typer.Exit(show_replay(run, runs, speed, at, mouse))
