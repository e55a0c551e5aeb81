"""What a campaign has found: the best after so many rounds, means with intervals, differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.runs.campaigns.file import CampaignFile
from engine.runs.campaigns.plan import Campaign, PlannedRun, check_begun
from engine.runs.compare import ComparedRun, best_at, common_ranking, doubts, extent, read_compared
from engine.runs.paired import interval
from engine.state.ranking import Ranking

__all__ = ["Cell", "Gain", "Measured", "Summary", "TaskSummary", "summarize_campaign"]


class Gain(msgspec.Struct, frozen=True):
    """By how much a setting is better than the baseline, over the seeds that both have."""

    runs: int
    mean: float
    """Above 0 if it is better, whichever way the task's score counts."""
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`ahead` or `behind` if the interval excludes 0; else, and for a single pair, which has none, `level`."""
        if self.runs < 2:
            return "level"
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "level"


class Cell(msgspec.Struct, frozen=True):
    """One setting at one place of the axis."""

    setting: str
    at: float | None
    """Rounds, tokens, dollars or seconds; None: at the end of finished runs."""
    runs: int
    """Runs that came so far."""
    mean: float
    low: float
    high: float
    gain: Gain | None
    """None for the baseline itself, and if no seed has both."""


class Measured(msgspec.Struct, frozen=True):
    """One run of the campaign, as far as it has come."""

    planned: PlannedRun
    compared: ComparedRun


class TaskSummary(msgspec.Struct, frozen=True):
    """One task of the campaign."""

    task: str
    ranking: Ranking
    """The quantity that is compared."""
    cells: list[Cell]
    """Place by place, in the order of the settings."""
    runs: list[Measured]
    doubts: list[str]
    """Reasons against the comparison."""

    def cell(self, setting: str, at: float | None) -> Cell | None:
        """Return a cell; None if no run of the setting came so far."""
        return next((cell for cell in self.cells if (cell.setting, cell.at) == (setting, at)), None)

    @property
    def places(self) -> list[float | None]:
        """The places that have a cell, in their order; None, the end, is the last."""
        return list(dict.fromkeys(cell.at for cell in self.cells))


class Summary(msgspec.Struct, frozen=True):
    """A campaign, as far as it has come."""

    file: CampaignFile
    tasks: list[TaskSummary]
    """Those that have a run."""
    planned: int
    """Runs in all."""

    @property
    def runs(self) -> list[Measured]:
        """All runs that are there."""
        return [run for task in self.tasks for run in task.runs]


def summarize_campaign(campaign: Campaign) -> Summary:
    """Fold the runs that are there and compare them; the same runs always give the same summary.

    Raises:
        UsageError: a run does not fit the campaign.
        JournalError: a run cannot be read.
    """
    found = [Measured(planned, read_compared(planned.run)) for planned in check_begun(campaign)]
    tasks = []
    for task in campaign.file.tasks:
        runs = [run for run in found if run.planned.case.task.name == task.name]
        if runs:
            tasks.append(_summarize_task(campaign.file, task.name, runs))
    return Summary(campaign.file, tasks, len(campaign.runs))


def _summarize_task(file: CampaignFile, task: str, runs: list[Measured]) -> TaskSummary:
    compared = [run.compared for run in runs]
    ranking = common_ranking(compared)
    cells = []
    for at in (*file.checkpoints, None):
        values = {way.name: _values(file, runs, way.name, ranking, at) for way in file.ways}
        for way in file.ways:
            if values[way.name]:
                base = None if way.name == file.baseline else values[file.baseline]
                cells.append(_cell(way.name, at, values[way.name], base, ranking))
    return TaskSummary(task, ranking, cells, runs, doubts(compared))


def _values(
    file: CampaignFile, runs: Sequence[Measured], way: str, ranking: Ranking, at: float | None
) -> dict[int, float]:
    """Return the best of each run of a setting that came to a place, by its seed."""
    found = {}
    for run in runs:
        compared = run.compared
        came = compared.status == "finished" if at is None else extent(compared, file.by) >= at
        best = compared.best if at is None else best_at(compared, file.by, at)
        value = ranking.of(best) if came and best is not None else None
        if run.planned.case.way.name == way and value is not None:
            found[run.planned.seed] = value
    return found


def _cell(
    way: str, at: float | None, values: dict[int, float], base: dict[int, float] | None, ranking: Ranking
) -> Cell:
    seeds = [] if base is None else [seed for seed in values if seed in base]
    gain = None
    if base is not None and seeds:
        sign = 1.0 if ranking.maximize else -1.0
        gain = Gain(len(seeds), *interval([sign * (values[seed] - base[seed]) for seed in seeds]))
    return Cell(way, at, len(values), *interval(list(values.values())), gain)
