"""Write the page of a campaign: one HTML file with the curves of all runs, the figures and the differences."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from engine.errors import RunError
from engine.export.score_curve import HEIGHT, LEFT, WIDTH, bounds, scale, ticks
from engine.runs.campaigns.file import CampaignFile
from engine.runs.campaigns.summary import Measured, Summary, TaskSummary
from engine.runs.compare import ComparedRun, best_at, extent
from engine.text import visible

__all__ = ["write_campaign"]

_FOLDER = Path(__file__).parent
_LOOKS = 8
"""Colours of settings; further settings begin anew."""
_PLACES = 120
"""Points of a mean's line."""


@dataclass
class _Plot:
    """The curves of one task, as path data in units of the picture."""

    runs: list[tuple[int, str]] = field(default_factory=list)
    """The look of a run's setting, and its line of steps."""
    means: list[tuple[int, str]] = field(default_factory=list)
    """The same for the mean of each setting, as far as all its runs went."""
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)


def write_campaign(summary: Summary, path: Path) -> None:
    """Write the page; it appears once it is complete.

    Texts of people are escaped, and the page makes no request.

    Raises:
        RunError: the file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["brief"] = lambda value: f"{value:.6g}"
    style = (_FOLDER / "report.css").read_text(encoding="utf-8") + (_FOLDER / "campaign.css").read_text(
        encoding="utf-8"
    )
    text = environment.get_template("campaign.html.j2").render(_context(summary, style))
    # `--summary` may write it while the process at work does.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as exc:
        raise RunError(f"{path} cannot be written: {exc.strerror or exc}") from None


def _context(summary: Summary, style: str) -> dict[str, Any]:
    file = summary.file
    return {
        "summary": summary,
        "file": file,
        "looks": {way.name: number % _LOOKS for number, way in enumerate(file.ways)},
        "plots": {task.task: _plot(task, file) for task in summary.tasks},
        "budgets": {task.task: _budget(task.runs) for task in summary.tasks},
        "style": Markup(style),
        "style_hash": "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
    }


def _budget(runs: Sequence[Measured]) -> str:
    """Return the limits that the runs of a task have in common, in words."""
    settings = runs[0].compared.settings
    limits = {"rounds": "rounds", "tokens": "tokens", "usd": "US dollars", "hours": "hours"}
    told = [f"{settings[key]:,} {name}" for key, name in limits.items() if settings.get(key) is not None]
    return ", ".join(told)


def _plot(task: TaskSummary, file: CampaignFile) -> _Plot | None:
    """Return the curves of a task; None if no run has a score or has spent anything on the axis."""
    values = [value for run in task.runs for step in run.compared.steps if (value := task.ranking.of(step)) is not None]
    last = max(extent(run.compared, file.by) for run in task.runs)
    if not values or not last:
        return None
    low, high = bounds(values, task.ranking.maximize)
    x, y = scale(0.0, last, low, high)
    plot = _Plot()
    for number, way in enumerate(file.ways):
        runs = [run.compared for run in task.runs if run.planned.case.way.name == way.name]
        for run in runs:
            steps = [
                (getattr(step, file.by), value) for step in run.steps if (value := task.ranking.of(step)) is not None
            ]
            line = "".join(f"{f'H{x(at)}V' if n else f'M{x(at)} '}{y(value)}" for n, (at, value) in enumerate(steps))
            if line:
                plot.runs.append((number % _LOOKS, f"{line}H{x(extent(run, file.by))}"))
        mean = _mean(runs, task, file)
        if mean:
            plot.means.append((number % _LOOKS, "M" + "L".join(f"{x(at)} {y(value)}" for at, value in mean)))
    plot.x_ticks = [(x(value), f"{value:,.6g}") for value in ticks(0.0, last, 8)]
    plot.y_ticks = [(y(value), f"{value:.6g}") for value in ticks(low, high, 5)]
    return plot


def _mean(runs: Sequence[ComparedRun], task: TaskSummary, file: CampaignFile) -> list[tuple[float, float]]:
    """Return the mean of the best of a setting's runs at places that all of them reached."""
    shared = min((extent(run, file.by) for run in runs), default=0.0)
    found = []
    for number in range(_PLACES + 1):
        place = shared * number / _PLACES
        bests = [best_at(run, file.by, place) for run in runs]
        values = [task.ranking.of(best) for best in bests if best is not None]
        known = [value for value in values if value is not None]
        if known and len(known) == len(runs):
            found.append((place, sum(known) / len(known)))
    return found
