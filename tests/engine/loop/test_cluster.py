"""What the journal says of a cluster's machines: each change once, and no more than the change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.evaluation.executors.base import Machine
from engine.evaluation.executors.local import LocalExecutor
from engine.journal import events as ev
from engine.loop import cluster
from engine.state.fold import apply
from tests.engine.test_submissions import event, run_with


class Desk:
    """A run in memory."""

    def __init__(self) -> None:
        self.state = run_with()
        self.changes: asyncio.Queue[ev.ClusterChanged] = asyncio.Queue()

    def emit(self, data: ev.ClusterChanged) -> None:
        apply(self.state, event(self.state.seq + 1, data))
        self.changes.put_nowait(data)


class Executor:
    """Has machines that a test sets."""

    machines: tuple[Machine, ...] = (Machine("1", "alpha", 2, 4.0, 1.0), Machine("2", "beta", 4, 4.0))


async def test_changes_are_recorded_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.01)
    desk: Any = Desk()
    executor: Any = Executor()
    cluster.record_machines(desk, executor)
    assert desk.state.cluster["alpha"] == ev.ClusterMachine("alpha", 2, 4.0, 1.0)
    watching = asyncio.create_task(cluster.watch_machines(desk, executor))
    executor.machines = (Machine("2", "beta", 8, 8.0), Machine("3", "gamma", 1))
    desk.changes.get_nowait()
    change = await asyncio.wait_for(desk.changes.get(), 90)
    await asyncio.sleep(0.05)
    watching.cancel()
    await asyncio.wait([watching])
    assert change == ev.ClusterChanged(
        [ev.ClusterMachine("beta", 8, 8.0), ev.ClusterMachine("gamma", 1)], ["alpha"]
    )  # fmt: skip
    assert desk.changes.empty() and set(desk.state.cluster) == {"beta", "gamma"}


def test_engine_on_its_own_machine_records_none() -> None:
    desk: Any = Desk()
    cluster.record_machines(desk, LocalExecutor())
    assert desk.changes.empty()
