"""`evolve export`: write a run to a file for other programs and people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import ForceOption, JsonOption, RunArgument, RunsOption, app, pick, print_json, refuse_to_replace

__all__: list[str] = []


@app.command()
def export(
    run: RunArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="FILE.json, FILE.csv, FILE.graphml or FILE.html; by default RUN.html in this folder.",
        ),
    ] = None,
    force: ForceOption = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run to a file: all of it as JSON, its nodes as CSV, its lineage as GraphML, a report as HTML."""
    from engine.export import export_run

    picked = pick(run, runs)
    target = Path(f"{picked.name}.html") if out is None else out
    refuse_to_replace(target, force)
    nodes = export_run(picked, target)
    print_json({"file": str(target.absolute()), "run": str(picked.folder), "nodes": nodes}) if json else print(target)
