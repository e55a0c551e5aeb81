"""`evolve campaign`: many runs as one object, by tasks, settings and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, app, fail, print_json
from engine.cli.progress import tell
from engine.cli.table import print_table
from engine.cli.trust import TrustOption, settle
from engine.evaluation.bubblewrap import wanted_bubblewrap
from engine.runs.campaigns.file import CampaignFile, read_campaign
from engine.runs.campaigns.plan import Campaign, PlannedRun, plan_campaign
from engine.runs.campaigns.summary import Cell, Measured, Summary, TaskSummary, summarize_campaign
from engine.runs.campaigns.work import work
from engine.runs.configure import own_layers
from engine.runs.review import review_campaign, review_task
from engine.runs.status import RunSummary
from engine.text import counted, one_line, visible

__all__ = ["Progress", "plain_summary", "print_summary", "write_page"]

_WORDS = 300


@app.command()
def campaign(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What to compare: tasks, settings, seeds.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of its runs; by default campaigns/FILE in the workspace."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", min=1, help="Runs at once; by default as the file says.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Start nothing; sum up the runs that are there, also while it works.")
    ] = False,
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Run every task with every setting and seed, and compare them. Call it again to go on."""
    read = read_campaign(file)
    planned = plan_campaign(read, None if out is None else out.expanduser())
    finished = True
    if not summary:
        cases = [(run.settings, run.case.loaded) for run in planned.runs if run.seed == read.seeds[0]]
        settle(review_campaign(file, cases), trust, may_ask=not json)
        for case in planned.cases:
            for note in case.loaded.notes:
                tell(visible(note))
            settings = next(run.settings for run in planned.runs if run.case is case)
            settle(review_task(case.loaded, settings, own_layers(case.own)), trust, may_ask=not json)
        wanted_bubblewrap()  # fails before anything is created
        tell(f"{counted(len(planned.runs), 'run')} in {planned.folder}")
        finished = work(planned, parallel or read.parallel, Progress(planned))
    found = summarize_campaign(planned)
    page = write_page(planned, found) if found.tasks else None
    if json:
        print_json(plain_summary(planned, found))
    else:
        print_summary(found)
        if page is not None:
            print(f"\n{page}")
    if not finished:
        tell("the same command goes on with it.")
        fail(130)
    fail(0 if all(run.compared.status == "finished" for run in found.runs) and len(found.runs) == found.planned else 1)


class Progress:
    """Print a line on stderr when a run begins or has ended.

    Args:
        campaign: the campaign.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._numbers = {planned.run.name: number for number, planned in enumerate(campaign.runs, 1)}

    def __call__(self, planned: PlannedRun, summary: RunSummary | None, words: str) -> None:
        """Print the line."""
        name = planned.run.name
        start = f"{self._numbers[name]}/{len(self._numbers)} {name}"
        if summary is None:
            tell(f"{start} {words}")
            return
        best = summary["best"]
        shown = "no score" if best is None else f"best {best[summary['ranked_by']]:.8g}"
        reason = summary["reason"] or words
        ended = summary["status"] + (
            f": {one_line(reason, _WORDS)}" if reason and summary["status"] != "finished" else ""
        )
        tell(f"{start} {ended}, {counted(summary['rounds'], 'round')}, {shown}")


def write_page(campaign: Campaign, summary: Summary) -> Path:
    """Write the page that shows a campaign, into its folder, and return its path."""
    # Lazy: it needs jinja2.
    from engine.export.campaign import write_campaign

    write_campaign(summary, campaign.page)
    return campaign.page


def print_summary(summary: Summary) -> None:
    """Print the figures of each task, and what ended otherwise than finished."""
    file = summary.file
    if not summary.tasks:
        print("No run is there yet.")
    for number, task in enumerate(summary.tasks):
        print("\n" * (number > 0) + f"{task.task}: {task.ranking.name}, {_better(task)}, after so many {file.by}")
        for doubt in task.doubts:
            print(doubt)
        heads = [_head(place) for place in task.places]
        rows = [[way.name, *(_mean(task.cell(way.name, at)) for at in task.places)] for way in file.ways]
        print_table(["setting", *heads], rows)
        others = [way for way in file.ways if way.name != file.baseline]
        if others:
            print(f"better than {file.baseline} by, seeds paired")
            rows = [[way.name, *(_gain(task.cell(way.name, at)) for at in task.places)] for way in others]
            print_table(["setting", *heads], rows)
    unfinished = [run for run in summary.runs if run.compared.status != "finished"]
    left = summary.planned - len(summary.runs)
    for run in unfinished:
        print(f"{run.planned.run.name} is {run.compared.status}, {counted(run.compared.rounds, 'round')}")
    if left:
        print(f"{counted(left, 'run')} of {summary.planned} not begun")


def _better(task: TaskSummary) -> str:
    return f"{'higher' if task.ranking.maximize else 'lower'} is better"


def _head(place: float | None) -> str:
    return "end" if place is None else f"{place:,.12g}"


def _mean(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return f"{cell.mean:.5g} ({cell.low:.5g} to {cell.high:.5g}; {cell.runs})"


def _gain(cell: Cell | None) -> str:
    gain = cell.gain if cell is not None else None
    if gain is None:
        return "–"
    return f"{gain.mean:+.3g} ({gain.low:+.3g} to {gain.high:+.3g}) {gain.verdict}"


def plain_summary(campaign: Campaign, summary: Summary) -> dict[str, Any]:
    """Return a summary as data."""
    file: CampaignFile = summary.file
    return {
        "campaign": file.name, "folder": str(campaign.folder), "baseline": file.baseline, "by": file.by,
        "checkpoints": file.checkpoints, "seeds": file.seeds, "planned": summary.planned,
        "tasks": [
            {
                "task": task.task, "metric": task.ranking.metric, "direction": task.ranking.direction,
                "ranked_by": task.ranking.key, "doubts": task.doubts,
                "cells": [_plain_cell(cell) for cell in task.cells],
                "runs": [_plain_run(run) for run in task.runs],
            }
            for task in summary.tasks
        ],
    }  # fmt: skip


def _plain_cell(cell: Cell) -> dict[str, Any]:
    gain = cell.gain
    return {
        "setting": cell.setting, "at": cell.at, "runs": cell.runs, "mean": cell.mean, "low": cell.low,
        "high": cell.high,
        "gain": None if gain is None else {
            "runs": gain.runs, "mean": gain.mean, "low": gain.low, "high": gain.high, "verdict": gain.verdict,
        },
    }  # fmt: skip


def _plain_run(run: Measured) -> dict[str, Any]:
    compared = run.compared
    best = compared.best
    return {
        "run": str(compared.run.folder), "setting": run.planned.case.way.name, "seed": run.planned.seed,
        "status": compared.status, "rounds": compared.rounds, "nodes": compared.nodes, "failed": compared.failed,
        "tokens": compared.tokens, "usd": compared.usd, "seconds": round(compared.seconds, 3),
        "best": None if best is None else {"node": best.node, "score": best.score, "fitness": best.fitness},
    }  # fmt: skip
