"""The command that writes a run to a file for others: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import JsonOption, RunArgument, RunsOption, app, pick, print_json

__all__: list[str] = []


@app.command()
def export(
    run: RunArgument = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="FILE.json, FILE.csv, FILE.graphml or FILE.html.")
    ] = Path("run.html"),
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run to a file: all of it as JSON, its nodes as CSV, its lineage as GraphML, a report as HTML."""
    from engine.export import export_run

    picked = pick(run, runs)
    nodes = export_run(picked, out)
    print_json({"file": str(out.absolute()), "run": str(picked.folder), "nodes": nodes}) if json else print(out)
