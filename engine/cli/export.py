"""`evolve export`: write a run for other programs and people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import ForceOption, JsonOption, RunArgument, RunsOption, app, pick, print_json, refuse_to_replace
from engine.errors import UsageError

__all__: list[str] = []


@app.command()
def export(
    run: RunArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="FILE.json, FILE.csv, FILE.graphml, FILE.html (by default RUN.html here); with --as, a folder.",
        ),
    ] = None,
    as_: Annotated[
        str,
        typer.Option("--as", metavar="SYSTEM", help="'openevolve': a checkpoint that OpenEvolve resumes from."),
    ] = "",
    force: ForceOption = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run to a file: all of it as JSON, its nodes as CSV, its lineage as GraphML, a report as HTML."""
    from engine.export import export_checkpoint, export_run

    if as_ not in ("", "openevolve"):
        raise UsageError(f"no run can be exported as '{as_}'", "Known is 'openevolve'")
    picked = pick(run, runs)
    if as_:
        folder = Path(f"{picked.name}-openevolve") if out is None else out.expanduser()
        programs = export_checkpoint(picked, folder, force)
        made = {"folder": str(folder.absolute()), "run": str(picked.folder), "programs": programs}
        print_json(made) if json else print(folder)
        return
    target = Path(f"{picked.name}.html") if out is None else out
    refuse_to_replace(target, force)
    nodes = export_run(picked, target)
    print_json({"file": str(target.absolute()), "run": str(picked.folder), "nodes": nodes}) if json else print(target)
