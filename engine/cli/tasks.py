"""Commands about tasks: tasks, new, check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, TaskName, app, fail, print_json
from engine.cli.foreign import (
    ContainerOption,
    InstanceOption,
    KindOption,
    MetricOption,
    NetworkOption,
    PythonOption,
    allowed_containers,
    given_interpreter,
    keep_interpreter,
    open_task,
)
from engine.cli.progress import tell
from engine.cli.table import print_table
from engine.cli.trust import TrustOption, settle
from engine.errors import UsageError
from engine.runs.configure import own_layers, task_settings
from engine.runs.reach import NO_SANDBOX, reads_outside
from engine.runs.review import review_task
from engine.runs.trust import own
from engine.task.load import builtin_tasks, find_task, load_task, write_converted
from engine.task.scaffold import write_task
from engine.task.spec import TaskSpec
from engine.task.starters import missing_tool
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
                    "summary": spec.summary, "instances": list(spec.instances),
                }
                for folder, spec in found
            ]
        )  # fmt: skip
        return
    print_table(
        ["name", "metric", "direction", "summary"],
        [row for _, spec in found for row in _rows(spec)],
        wrap=True,
    )


def _rows(spec: TaskSpec) -> list[list[str]]:
    """Return a task's row, and one for each of its other instances."""
    return [
        [spec.name, spec.metric, spec.direction, spec.summary],
        *(
            [f"  --instance {name}", "", instance.direction or spec.direction, instance.summary]
            for name, instance in spec.instances.items()
        ),
    ]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new folder; its last part names the task.")],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="FOLDER", help="Write a task of OpenEvolve, SkyDiscover, ShinkaEvolve or ASI-Evolve out."
        ),
    ] = "",
    language: Annotated[
        str,
        typer.Option(metavar="NAME", help="What its programs are in: python, c, cpp, rust, go, javascript and others."),
    ] = "python",
    several: Annotated[bool, typer.Option("--folder", help="Programs of several files.")] = False,
    python: PythonOption = "",
    metric: MetricOption = "",
    container: ContainerOption = False,
    container_network: NetworkOption = False,
) -> None:
    """Write a working example task, or one of another system, into a new folder."""
    folder = Path(name).expanduser()
    if source:
        if several or language != "python":
            raise UsageError("--language and --folder are for a new example; --from takes the programs as they are")
        for note in write_converted(
            find_task(source),
            folder,
            given_interpreter(python),
            metric,
            allowed_containers(container, container_network),
        ):
            tell(visible(note))
        keep_interpreter(python)
        print(f"{folder} is a task: what it was made from is in {folder / 'task'}.")
    else:
        write_task(folder, language, several)
        reads = [f"it reads {path}" for path in reads_outside(load_task(folder))]
        own(folder.resolve(), (NO_SANDBOX, *reads))
        for what in reads:
            tell(f"{what}, where its compiler lies")
        lacking = missing_tool(language)
        if lacking:
            tell(f"{lacking} is not on this machine: install it, since the programs of this task need it")
        print(f"{folder} is a working task: adapt {', '.join(sorted(p.name for p in folder.iterdir()))}.")
    print(f"'evolve check {folder}' checks it, 'evolve run {folder}' starts a run.")


@app.command()
def check(
    task: TaskName,
    null: Annotated[
        bool, typer.Option("--null", help="Measure the seed five times more: could one that is no better be crowned?")
    ] = False,
    python: PythonOption = "",
    metric: MetricOption = "",
    container: ContainerOption = False,
    container_network: NetworkOption = False,
    instance: InstanceOption = "",
    kind: KindOption = "",
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Check a task: take its seeds through a whole round, and report what is wrong."""
    loaded = open_task(task, python, metric, container, container_network, instance, kind)
    settle(review_task(loaded, task_settings(loaded), own_layers(())), trust, may_ask=not json)
    keep_interpreter(python)
    findings = asyncio.run(_check(loaded, null, quiet=json))
    problems = [finding for finding in findings if not finding["ok"]]
    if json:
        print_json({"task": loaded.spec.name, "ok": not problems, "findings": findings})
    else:
        print("no problems" if not problems else f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
    fail(2 if problems else 0)


async def _check(loaded: Any, null: bool, quiet: bool) -> list[dict[str, Any]]:
    from engine.loop.serve import watch_children_without_threads
    from engine.runs.check_task import Finding, check_noise, check_task

    async def look() -> AsyncIterator[Finding]:
        failed = False
        async for finding in check_task(loaded):
            failed = failed or not finding.ok
            yield finding
        if null and not failed:
            yield await check_noise(loaded, task_settings(loaded))

    watch_children_without_threads()
    findings = []
    async for finding in look():
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
