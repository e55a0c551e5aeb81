"""The list of runs, and what is kept with a run for it: runs, tag, archive."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.app import JsonOption, RunName, RunsOption, app, existing_folder, pick, print_json
from engine.cli.table import print_table
from engine.errors import EvolveError, UsageError
from engine.journal.clock import local_time, local_zone
from engine.runs.disk import describe_bytes, disk_bytes
from engine.runs.folder import all_runs
from engine.runs.hosts import Host, Unreachable, read_hosts, remote_runs
from engine.runs.labels import archive_run, read_labels, tag_run
from engine.runs.run_filter import RunFacts, RunFilter, parse_run_filter
from engine.runs.status import best_of, started_ms, summarize
from engine.text import one_line, visible

__all__: list[str] = []

_MOST_AT_ONCE = 16


@app.command()
def runs(
    filter_: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="EXPR",
            help="Only runs that match, for example 'tag:good status:paused task:circle words'.",
        ),
    ] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Show archived runs too.")] = False,
    disk: Annotated[bool, typer.Option("--disk", help="Show the space that each takes on the disk.")] = False,
    hosts: Annotated[
        bool,
        typer.Option("--hosts", help="Show also the runs of the machines under [hosts] in config.toml, through ssh."),
    ] = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """List the runs, newest first. Archived ones are left out unless asked for."""
    folder, wanted = existing_folder(runs), parse_run_filter(filter_, archived)
    found = _here(folder, disk)
    if hosts:
        found += _elsewhere(read_hosts(), disk)
    shown = [entry for entry in found if wanted(_facts(entry))]
    shown.sort(key=lambda entry: (entry["started"], entry["name"]), reverse=True)
    if json:
        print_json(shown)
        return
    if shown:
        _print(shown, disk)
    elif found:
        print(_nothing(found, wanted))
    else:
        print(f"There is no run in {folder} yet. 'evolve run TASK' starts one, 'evolve tasks' lists the tasks.")


def _here(folder: Path, disk: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for run in all_runs(folder):
        try:
            found.append({**summarize(run), **({"disk": disk_bytes(run)} if disk else {})})
        except EvolveError as exc:
            print(f"warning: {exc}", file=sys.stderr)
    return found


def _elsewhere(hosts: dict[str, Host], disk: bool) -> list[dict[str, Any]]:
    """Return the runs of other machines, each asked at the same time; report on stderr those that do not answer."""
    if not hosts:
        raise UsageError("config.toml names no machine under [hosts]", "Add one, as in: [hosts.gpu1]")

    def ask(named: tuple[str, Host]) -> list[dict[str, Any]] | Unreachable:
        try:
            asked = remote_runs(named[1], ["--archived", *(["--disk"] if disk else [])])
        except Unreachable as exc:
            return exc
        return [{**msgspec.to_builtins(run), "on": named[0]} for run in asked]

    with ThreadPoolExecutor(min(len(hosts), _MOST_AT_ONCE)) as pool:
        answers = list(pool.map(ask, hosts.items()))
    found: list[dict[str, Any]] = []
    for name, answer in zip(hosts, answers, strict=True):
        if isinstance(answer, Unreachable):
            print(f"warning: {visible(name)}: {answer}", file=sys.stderr)
        else:
            found += answer
    return found


def _facts(entry: dict[str, Any]) -> RunFacts:
    host = entry.get("on") or entry["host"]
    return RunFacts(entry["name"], entry["task"], entry["status"], host, tuple(entry["tags"]), entry["archived"])


def _nothing(found: list[dict[str, Any]], wanted: RunFilter) -> str:
    hidden = sum(entry["archived"] for entry in found)
    if wanted.text and (matching := sum(replace(wanted, archived=True)(_facts(entry)) for entry in found)):
        return f"Only archived runs ({matching}) match '{one_line(wanted.text, 80)}'; --archived lists them."
    if wanted.text:
        return f"No run matches '{one_line(wanted.text, 80)}'. 'evolve runs' lists {len(found) - hidden}."
    return f"All {hidden} runs are archived. 'evolve runs --archived' lists them."


def _print(found: list[dict[str, Any]], disk: bool) -> None:
    asked = any(entry["tokens"] for entry in found)
    known = any(entry["to_record"] is not None for entry in found)
    tagged = any(entry["tags"] or entry["archived"] for entry in found)
    rows = [
        [
            f"{entry['on']}:{entry['name']}" if entry.get("on") else entry["name"],
            entry["task"], entry["status"], str(entry["rounds"]), str(entry["nodes"]),
            _best(entry),
            *([_way(entry["to_record"])] if known else []),
            *([f"{entry['tokens']:,}", f"{entry['usd']:.4f}"] if asked else []),
            *([_tags(entry)] if tagged else []),
            *([_size(entry)] if disk else []),
            local_time(started_ms(entry)),
        ]
        for entry in found
    ]  # fmt: skip
    spent, started = ["tokens", "$"] if asked else [], f"started ({local_zone()})"
    way, tags, size = ["to record"] if known else [], ["tags"] if tagged else [], ["disk"] if disk else []
    print_table(
        ["name", "task", "status", "rounds", "nodes", "best", *way, *spent, *tags, *size, started],
        rows,
        (started, *reversed(spent), "task", *way),
    )
    for entry in found:
        if entry["status"] == "paused" and entry["reason"]:
            print(f"{visible(entry['name'])} is paused: {visible(entry['reason'])}")


def _way(share: float | None) -> str:
    """Return the share of the way from the seed to the record, for the table."""
    return "–" if share is None else f"{share:.1%}"


def _best(entry: dict[str, Any]) -> str:
    """Return the best node of a listed run, for the table."""
    figures, ranking = best_of(entry)
    return "–" if figures is None else f"{ranking.brief(figures)} #{(entry['best'] or {})['node']}"


def _tags(entry: dict[str, Any]) -> str:
    return " ".join([*(["(archived)"] if entry["archived"] else []), *entry["tags"]])


def _size(entry: dict[str, Any]) -> str:
    return "–" if entry.get("disk") is None else describe_bytes(entry["disk"])


@app.command()
def tag(
    run: RunName,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Words to keep with the run.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Take these tags away.")] = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Tag a run, to find it again; without a tag print those that it has."""
    picked = pick(run, runs)
    labels = tag_run(picked.folder, tags, off) if tags else read_labels(picked.folder)
    if json:
        print_json({"run": str(picked.folder), "tags": list(labels.tags)})
    else:
        print(" ".join(labels.tags) if labels.tags else "no tag")


@app.command()
def archive(
    run: RunName,
    off: Annotated[bool, typer.Option("--off", help="List it again.")] = False,
    runs: RunsOption = None,
) -> None:
    """Leave a run out of lists; nothing of it is deleted."""
    picked = pick(run, runs)
    archive_run(picked.folder, not off)
    print(f"run '{picked.name}' is listed again" if off else f"run '{picked.name}' is archived")
