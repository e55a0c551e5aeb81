"""Commands about tasks: tasks, new, check."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, TaskName, app, fail, print_json
from engine.cli.table import print_table
from engine.errors import UsageError
from engine.task.load import builtin_tasks, find_task, load_task
from engine.task.scaffold import write_task
from engine.text import visible

__all__: list[str] = []


@app.command()
def tasks(json: JsonOption = False) -> None:
    """List the built-in tasks."""
    found = [(task.folder, task.spec) for task in map(load_task, builtin_tasks())]
    if json:
        print_json(
            [
                {
                    "name": spec.name, "folder": str(folder), "metric": spec.metric, "direction": spec.direction,
                    "summary": spec.summary,
                }
                for folder, spec in found
            ]
        )  # fmt: skip
        return
    print_table(
        ["name", "metric", "direction", "summary"],
        [[spec.name, spec.metric, spec.direction, spec.summary] for _, spec in found],
        wrap=True,
    )


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new folder; its last part names the task.")],
) -> None:
    """Write a working example task into a new folder."""
    folder = write_task(Path(name).expanduser())
    print(f"{folder} is a working task: adapt {', '.join(sorted(p.name for p in folder.iterdir()))}.")
    print(f"'evolve check {folder}' checks it, 'evolve run {folder}' starts a run.")


@app.command()
def check(task: TaskName, json: JsonOption = False) -> None:
    """Check a task: take its seeds through a whole round, and report what is wrong."""
    loaded = load_task(find_task(task))
    findings = asyncio.run(_check(loaded, quiet=json))
    problems = [finding for finding in findings if not finding["ok"]]
    if json:
        print_json({"task": loaded.spec.name, "ok": not problems, "findings": findings})
    else:
        print("no problems" if not problems else f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
    fail(2 if problems else 0)


async def _check(loaded: Any, quiet: bool) -> list[dict[str, Any]]:
    from engine.loop.serve import watch_children_without_threads
    from engine.runs.check_task import check_task

    watch_children_without_threads()
    findings = []
    async for finding in check_task(loaded):
        findings.append(
            {"ok": finding.ok, "where": finding.where, "what": finding.what, "detail": visible(finding.detail)}
        )
        if not quiet:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.where}: {visible(finding.what)}")
            if finding.detail and not finding.ok:
                print("\n".join(f"      {line}" for line in visible(finding.detail).splitlines()[-20:]))
    if not findings:
        raise UsageError("there was nothing to check")
    return findings
