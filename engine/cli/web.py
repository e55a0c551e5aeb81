"""`evolve web`: the application in a browser on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from engine.cli.app import RunArgument, RunsOption, app, folder_of, pick
from engine.cli.progress import tell
from engine.errors import EvolveError

__all__: list[str] = []

_PORT = 8710


@app.command()
def web(
    run: RunArgument = None,
    port: Annotated[int, typer.Option(metavar="N", help="Port on this machine; 0 takes any that is free.")] = _PORT,
    steer: Annotated[
        bool, typer.Option("--steer", help="Print a second address, whose token lets whoever has it steer the runs.")
    ] = False,
    runs: RunsOption = None,
) -> None:
    """Show runs in a browser on this machine, read-only unless --steer."""
    if find_spec("textual_serve") is None:
        raise EvolveError(
            "textual-serve is not installed", "Run 'pip install asi-evolve-tui[web]' in evolve's environment"
        )
    picked = pick(run, runs) if run is not None else None
    folder = picked.folder.parent if picked is not None else folder_of(runs)
    # Lazy: only this command needs a web server.
    from tui.web_server import WebServer

    server = WebServer(folder.absolute(), picked.folder.name if picked is not None else "", port, steer)
    for what, address in server.addresses.items():
        print(f"{what}: {address}", flush=True)
    tell("Ctrl-C ends it; runs go on")
    server.run()
