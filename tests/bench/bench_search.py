"""Whole searches against simple baselines, as a campaign: three landscapes with mock answers and two open problems."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.cli.campaign import Progress, write_page
from engine.runs.campaigns.file import read_campaign
from engine.runs.campaigns.plan import Campaign, plan_campaign
from engine.runs.campaigns.summary import Cell, Summary, TaskSummary, summarize_campaign
from engine.runs.campaigns.work import work
from engine.runs.manage import delete_run
from engine.runs.status import summarize
from engine.text import counted
from tests.bench.search.model import EditingModel
from tests.bench.search.tasks import CHOSEN, write_landscape, write_problem

__all__ = ["main"]

PROBLEMS = {"circle_packing_bounded": "circle_packing", "autocorrelation_bounded": "autocorrelation"}
"""The open problems, made cheaper, and the built-in tasks that they are made of."""

_TENTH = 10
"""A round of an open problem takes seconds, one of a landscape some 40 ms."""

_CAMPAIGN = """\
seeds = {seeds}
parallel = {parallel}
checkpoints = [50, 100, 200, 400]

[run]
rounds = {rounds}
roles.analyzer = "rules"
# Mock answers are whole programs; recombine has no such choice.
designer.modes = {{full = 1.0, diff = 0.0, crossover = 0.0, fix = 0.0}}

{tasks}
[settings.default]

[settings.iid]
preset = "iid"

[settings.sequential]
preset = "sequential"
"""
_LANDSCAPE = """\
[tasks.{name}]
task = "tasks/{name}"
designer.name = "llm"
models.mock.model = "{{task}}.{{setting}}.{{seed}}"

"""
_PROBLEM = """\
[tasks.{name}]
task = "tasks/{name}"
rounds = {rounds}
designer.name = "recombine"

"""


def main(
    full: bool,
    rounds: int | None = None,
    repeats: int | None = None,
    out: Path | None = None,
    parallel: int | None = None,
) -> list[dict[str, Any]]:
    """Run the campaign and return a row for each task and setting.

    Args:
        full: 10 seeds of 400 rounds instead of 3 of 100; the open problems have a tenth of the rounds.
        rounds: of a search.
        repeats: seeds.
        out: the folder that keeps the runs and the page; by default they are deleted at the end. Finished runs that are
            there are not made again.
        parallel: runs at once; by default 1.

    Raises:
        KeyboardInterrupt: the work was interrupted.
    """
    rounds, repeats = rounds or (400 if full else 100), repeats or (10 if full else 3)
    folder = (
        Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR"))) if out is None else out
    )
    model = EditingModel()
    try:
        with _surroundings(folder, model):
            campaign = _prepare(folder, rounds, repeats, parallel or 1)
            if not work(campaign, campaign.file.parallel, Progress(campaign), partial(_forget, campaign)):
                raise KeyboardInterrupt
            summary = summarize_campaign(campaign)
            if out is not None:
                _say(f"the page: {write_page(campaign, summary)}")
            return _rows(summary)
    finally:
        model.close()
        if out is None:
            shutil.rmtree(folder)


@contextmanager
def _surroundings(folder: Path, model: EditingModel) -> Iterator[None]:
    """Give the engines a workspace of their own and the model's address."""
    own = {"EVOLVE_HOME": str(folder / "workspace"), "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "none"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _prepare(folder: Path, rounds: int, repeats: int, parallel: int) -> Campaign:
    """Write tasks and campaign into a folder, unless they are there, and return the campaign."""
    tables = []
    for name, landscape in CHOSEN.items():
        if not (folder / "tasks" / name).exists():
            write_landscape(landscape, folder / "tasks" / name)
        tables.append(_LANDSCAPE.format(name=name))
    for name, builtin in PROBLEMS.items():
        if not (folder / "tasks" / name).exists():
            write_problem(builtin, folder / "tasks" / name)
        tables.append(_PROBLEM.format(name=name, rounds=max(1, rounds // _TENTH)))
    file = folder / "search.toml"
    text = _CAMPAIGN.format(seeds=repeats, parallel=parallel, rounds=rounds, tasks="".join(tables))
    file.write_text(text)
    return plan_campaign(read_campaign(file), folder / "runs")


def _forget(campaign: Campaign) -> None:
    """Delete the runs that are not finished: their model counts from 1 again, and would repeat answers."""
    for planned in campaign.runs:
        if planned.run.db.is_file() and summarize(planned.run)["status"] != "finished":
            delete_run(planned.run)


def _rows(summary: Summary) -> list[dict[str, Any]]:
    """Return a row for each task and setting: the mean of the best at the end, and in the note all places."""
    rows = []
    for task in summary.tasks:
        for way in summary.file.ways:
            cells = [cell for place in task.places if (cell := task.cell(way.name, place)) is not None]
            if cells:
                rows.append({
                    "name": f"{task.task}, {way.name}",
                    "value": cells[-1].mean, "unit": task.ranking.name, "budget": "",
                    "note": "; ".join([*(_told(cell) for cell in cells), _spent(task, way.name)]),
                })  # fmt: skip
    return rows


def _told(cell: Cell) -> str:
    where = "end" if cell.at is None else f"{cell.at:g}"
    told = f"{where}: {cell.mean:.5g} ({cell.low:.5g} to {cell.high:.5g})"
    gain = cell.gain
    if gain is None:
        return told
    return f"{told}, {gain.verdict} {gain.mean:+.3g} ({gain.low:+.3g} to {gain.high:+.3g})"


def _spent(task: TaskSummary, way: str) -> str:
    runs = [run.compared for run in task.runs if run.planned.case.way.name == way]
    tokens = statistics.fmean(run.tokens for run in runs)
    return counted(len(runs), "seed") + (f", {tokens:,.0f} tokens each" if tokens else "")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
