"""A campaign's TOML file, read strictly: an unknown key or a value that does not fit is one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import UsageError
from engine.runs.presets import find_preset
from engine.settings.decode import convert_table, read_toml
from engine.settings.model import check_settings

__all__ = ["CampaignFile", "CampaignTask", "CampaignWay", "read_campaign"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
"""Names of tasks and settings: a run's name is made of both, with dots between them."""
_CHANCE = ("seed", "data_seed")
_BUDGET = ("rounds", "hours", "usd", "tokens", "target", "patience")
_SHOWN = 100_000
"""Most runs of a campaign."""


class CampaignTask(msgspec.Struct, frozen=True):
    """One of the tasks."""

    name: str
    task: str
    """A built-in task or a folder; a relative one starts at the campaign's file."""
    run: dict[str, Any]
    """Settings of its runs."""


class CampaignWay(msgspec.Struct, frozen=True):
    """One of the settings that are compared."""

    name: str
    preset: str
    run: dict[str, Any]
    """Settings of its runs, over all others."""


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as people write it."""

    tasks: list[str] | dict[str, dict[str, Any]]
    settings: dict[str, dict[str, Any]]
    seeds: int | list[int] = 5
    baseline: str = ""
    parallel: int = 1
    by: Literal["rounds", "usd", "tokens", "seconds"] = "rounds"
    checkpoints: list[float] = msgspec.field(default_factory=lambda: [50.0, 100.0, 200.0, 400.0])
    run: dict[str, Any] = {}


class CampaignFile(msgspec.Struct, frozen=True):
    """What a campaign's file says, checked."""

    path: Path
    tasks: list[CampaignTask]
    ways: list[CampaignWay]
    seeds: list[int]
    baseline: str
    """The setting that the others are compared with; by default the first."""
    parallel: int
    """Runs at once."""
    by: Literal["rounds", "usd", "tokens", "seconds"]
    """What the checkpoints count."""
    checkpoints: list[float]
    run: dict[str, Any]
    """Settings of all runs."""

    @property
    def name(self) -> str:
        """The campaign's name: that of its file."""
        return self.path.stem


def read_campaign(path: Path) -> CampaignFile:
    """Read a campaign's file.

    Raises:
        UsageError: it is missing or not TOML, a key is unknown, or a value does not fit; the message names the key.
    """
    table = read_toml(path, UsageError)
    # The tables with names of a person's choice are checked one by one, for a message that names the right keys.
    written = convert_table(table, _Written, str(path), UsageError)
    tasks, ways = _tasks(path, written), _ways(path, written)
    _check_table(path, "run", written.run, ())
    seeds = list(range(written.seeds)) if isinstance(written.seeds, int) else written.seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"{path}: `seeds` must be a number from 1, or a list of different numbers")
    if len(tasks) * len(ways) * len(seeds) > _SHOWN:
        raise UsageError(f"{path}: tasks, settings and seeds make more than {_SHOWN:,} runs")
    if written.parallel < 1:
        raise UsageError(f"{path}: `parallel` must be at least 1, not {written.parallel}")
    if any(not 0 < place < math.inf for place in written.checkpoints):
        raise UsageError(f"{path}: `checkpoints` must be numbers above 0")
    names = [way.name for way in ways]
    if written.baseline and written.baseline not in names:
        raise UsageError(f"{path}: baseline: no setting is called '{written.baseline}'; there are {', '.join(names)}")
    return CampaignFile(
        path=path,
        tasks=tasks,
        ways=ways,
        seeds=seeds,
        baseline=written.baseline or names[0],
        parallel=written.parallel,
        by=written.by,
        checkpoints=sorted(set(written.checkpoints)),
        run=written.run,
    )


def _tasks(path: Path, written: _Written) -> list[CampaignTask]:
    """Return the tasks; a list names each by its folder."""
    tables = written.tasks
    if isinstance(tables, list):
        named = [(Path(task).name, {"task": task}) for task in tables]
        if len({name for name, _ in named}) < len(named):
            raise UsageError(f"{path}: two tasks have the same name: write [tasks.NAME] tables with names of your own")
        tables = dict(named)
    if not tables:
        raise UsageError(f"{path}: `tasks` names no task")
    made = []
    for name, table in tables.items():
        _check_name(path, "tasks", name)
        run = {key: value for key, value in table.items() if key != "task"}
        task = table.get("task")
        if not isinstance(task, str) or not task:
            raise UsageError(f"{path}: tasks.{name}: `task` must name a built-in task or a folder")
        _check_table(path, f"tasks.{name}", run, ())
        made.append(CampaignTask(name, task, run))
    return made


def _ways(path: Path, written: _Written) -> list[CampaignWay]:
    if not written.settings:
        raise UsageError(f"{path}: `settings` names no setting: write a table [settings.NAME], which may be empty")
    made = []
    for name, table in written.settings.items():
        _check_name(path, "settings", name)
        run = {key: value for key, value in table.items() if key != "preset"}
        preset = table.get("preset", "")
        if not isinstance(preset, str):
            raise UsageError(f"{path}: settings.{name}: `preset` must name a preset")
        if preset:
            find_preset(preset)
        _check_table(path, f"settings.{name}", run, _BUDGET)
        made.append(CampaignWay(name, preset, run))
    return made


def _check_name(path: Path, table: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{path}: {table}: '{name}' may hold letters, digits, '-' and '_' only, since it names runs")


def _check_table(path: Path, where: str, run: Mapping[str, Any], equal: tuple[str, ...]) -> None:
    """Check settings of runs.

    Args:
        path: the file.
        where: the table, for the message.
        run: the settings.
        equal: further keys that all runs of a task must have in common.

    Raises:
        UsageError: a key is unknown or not to be set there, or a value does not fit.
    """
    for key in _CHANCE:
        if key in run:
            raise UsageError(f"{path}: {where}.{key}: `seeds` says which seeds there are")
    for key in equal:
        if key in run:
            raise UsageError(
                f"{path}: {where}.{key}: budgets are equal for all settings",
                f"Write {key} under [run], or under [tasks.NAME] for one task",
            )
    if "answers" in run:
        raise UsageError(f"{path}: {where}.answers: the runs of a campaign replay no recorded answers")
    check_settings(run, f"{path}: {where}", UsageError)
