"""The runs that a campaign stands for, each with its task and settings, and whether those that are there fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.journal.events import RunStarted
from engine.journal.reader import JournalReader
from engine.runs.campaigns.file import CampaignFile, CampaignTask, CampaignWay
from engine.runs.configure import choose_settings, require_limit
from engine.runs.folder import Run
from engine.runs.presets import Preset, find_preset
from engine.runs.reach import Layer
from engine.settings.model import Settings
from engine.task.load import BUILTIN_TASKS, find_task, load_task
from engine.task.snapshot import read_copy
from engine.task.spec import Task
from engine.workspace import workspace

__all__ = ["Campaign", "Case", "PlannedRun", "check_begun", "plan_campaign"]

_ALONE: dict[str, Any] = {"workers": 1, "slots": 1}
"""With more than one round in flight the same seed would not give the same search."""


@dataclass(frozen=True)
class Case:
    """A task with one of the settings."""

    task: CampaignTask
    way: CampaignWay
    loaded: Task
    """The task, with the preset's limits."""
    own: list[Layer]
    """The tables of settings that the file gives, for the question before its code runs."""


@dataclass(frozen=True)
class PlannedRun:
    """One of the runs; it may not be there yet."""

    run: Run
    case: Case
    seed: int
    settings: Settings


@dataclass(frozen=True)
class Campaign:
    """A campaign with its folder, whose folders are its runs."""

    file: CampaignFile
    folder: Path
    cases: list[Case]
    runs: list[PlannedRun]
    """Seed by seed, so that what was measured until an interruption is balanced."""

    @property
    def lock(self) -> Path:
        """The file that the process at work holds locked."""
        return self.folder / "campaign.lock"

    @property
    def page(self) -> Path:
        """The page that shows the campaign."""
        return self.folder / "campaign.html"


def plan_campaign(file: CampaignFile, folder: Path | None = None) -> Campaign:
    """Load the tasks and choose the settings of all runs; nothing is written.

    Args:
        file: the campaign.
        folder: where its runs lie; by default a folder of its name in the workspace's `campaigns`.

    Raises:
        TaskError: a task is not there, or a part of it is wrong.
        UsageError: a setting is unknown or does not fit, or models would be asked without a limit.
    """
    folder = workspace() / "campaigns" / file.name if folder is None else folder.absolute()
    cases, runs = [], []
    for task in file.tasks:
        found = load_task(_task_folder(file.path, task.task))
        for way in file.ways:
            preset = find_preset(way.preset) if way.preset else Preset()
            own: list[Layer] = [
                ("campaign", _ALONE),
                (f"{file.path}: run", file.run),
                (f"{file.path}: tasks.{task.name}", task.run),
                (f"{file.path}: settings.{way.name}", way.run),
            ]
            case = Case(task, way, preset.limit(found), own)
            cases.append(case)
            for seed in file.seeds:
                names = {"{task}": task.name, "{setting}": way.name, "{seed}": str(seed)}
                layers = [(label, _filled(table, names)) for label, table in own]
                settings = choose_settings(case.loaded, preset, layers)
                settings = msgspec.structs.replace(settings, seed=seed, data_seed=seed)
                require_limit(settings)
                runs.append(PlannedRun(Run(folder / f"{task.name}.{way.name}.{seed}"), case, seed, settings))
    runs.sort(key=lambda planned: file.seeds.index(planned.seed))
    return Campaign(file, folder, cases, runs)


def check_begun(campaign: Campaign) -> list[PlannedRun]:
    """Return the runs that are there, after a check that each began with what the file says now.

    Raises:
        UsageError: a run began with other settings or another task, so that it cannot be counted.
        JournalError: a run cannot be read.
    """
    begun = [planned for planned in campaign.runs if planned.run.db.is_file()]
    files: dict[Path, dict[str, str]] = {}
    for planned in begun:
        with JournalReader(planned.run.db) as reader:
            first = next(reader.events(upto=1), None)
        started = first.data if first is not None else None
        folder = planned.case.loaded.folder
        if folder not in files:
            files[folder] = read_copy(folder).files
        what = _other(planned, started, files[folder])
        if what:
            raise UsageError(
                f"run '{planned.run.name}' in {campaign.folder} began with {what} than the campaign says now",
                "Name another folder with --out, or 'evolve delete' the runs that no longer fit",
            )
    return begun


def _other(planned: PlannedRun, started: object, files: Mapping[str, str]) -> str:
    """Return in what a run that is there differs from the plan; empty if it is the planned one."""
    if not isinstance(started, RunStarted):
        return "another task"
    if started.files != files or started.spec != _recorded(planned.case.loaded.spec):
        return "another task, or other files of it,"
    wanted = _recorded(planned.settings)
    keys = sorted(key for key in {*started.settings, *wanted} if started.settings.get(key) != wanted.get(key))
    return f"another value of {', '.join(keys)}" if keys else ""


def _recorded(item: msgspec.Struct) -> dict[str, Any]:
    """Return an item as a journal gives it back."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(item))
    return made


def _task_folder(path: Path, task: str) -> Path:
    """Return a task's folder: a built-in one's, or one that starts at the campaign's file."""
    if (BUILTIN_TASKS / task / "task.toml").is_file() or Path(task).expanduser().is_absolute() or task[:1] == "~":
        return find_task(task)
    return find_task(str(path.absolute().parent / task))


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """Return settings with the run's own names in place of `{task}`, `{setting}` and `{seed}` in texts."""
    if isinstance(value, str):
        for mark, name in names.items():
            value = value.replace(mark, name)
        return value
    if isinstance(value, Mapping):
        return {key: _filled(below, names) for key, below in value.items()}
    return [_filled(item, names) for item in value] if isinstance(value, list) else value
