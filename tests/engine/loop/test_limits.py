"""Limits over a real journal, without an engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.executors.local import LocalExecutor
from engine.journal import events as ev
from engine.loop.limits import Limits
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import measure, open_parts

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("settings", "gpus", "slots", "workers"),
    [
        ({}, None, CORES, CORES + 2),
        ({}, 3, 3, 5),
        ({"slots": 4}, 3, 4, 6),
        ({"slots": 4, "workers": 1}, None, 4, 1),
    ],
)
async def test_slots_and_workers_follow_settings_then_gpus_then_cores(
    make_task: TaskMaker, tmp_path: Path, settings: dict[str, Any], gpus: int | None, slots: int, workers: int
) -> None:
    run = make_run(make_task(), tmp_path / "runs", **settings)
    async with open_parts(run) as parts:
        limits = Limits(parts.session, LocalExecutor(gpus and range(gpus)).slots, lambda: (0.0, 0.0))
        assert (limits.slots, limits.workers, limits.capacity.limit) == (slots, workers, slots)
        parts.session.emit(ev.SettingsChanged({"slots": 7}))
        limits.update()
        assert (limits.slots, limits.capacity.limit) == (7, 7)


async def test_an_exclusive_task_has_one_slot(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    (task / "task.toml").write_text("exclusive = true\n" + (task / "task.toml").read_text())
    run = make_run(task, tmp_path / "runs", slots=4)
    async with open_parts(run) as parts:
        assert Limits(parts.session, None, lambda: (0.0, 0.0)).slots == 1


async def test_calls_in_flight_count_against_the_budgets(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", usd=1.0, tokens=1000)
    committed = (0.0, 0.0)
    async with open_parts(run) as parts:
        limits = Limits(parts.session, LocalExecutor().slots, lambda: committed)
        measure(parts.session, 0, 0.0)
        assert limits.reached() is None
        committed = (1.0, 0.0)
        assert limits.reached() == ev.RunStopped("the 1 dollars are spent")
        committed = (0.0, 1000.0)
        assert limits.reached() == ev.RunStopped("the 1000 tokens are spent")


async def test_warning_of_a_budget_is_recorded_once(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", usd=1.0)
    async with open_parts(run) as parts:
        parts.session.emit(ev.CallDone(1, "researcher", "m", usd=0.6, tokens_in=1))
        parts.limits.update()
        parts.limits.update()
    assert [event.data.share for event in events(run, ev.BudgetWarned)] == [0.5]  # type: ignore[attr-defined]
