"""Record which machines the executor has, for those who watch."""

from __future__ import annotations

import asyncio

from engine.evaluation.executors.base import Executor
from engine.journal.events import ClusterChanged, ClusterMachine
from engine.loop.session import RunSession

__all__ = ["record_machines", "watch_machines"]

_LOOK_SECONDS = 2.0


def record_machines(session: RunSession, executor: Executor) -> None:
    """Record how the machines differ from what the journal says; nothing if they do not."""
    known = session.state.cluster
    now = {
        machine.name: ClusterMachine(machine.name, machine.slots, machine.cores, machine.gpus)
        for machine in executor.machines
    }
    joined = [machine for name, machine in now.items() if known.get(name) != machine]
    left = [name for name in known if name not in now]
    if joined or left:
        session.emit(ClusterChanged(joined, left))


async def watch_machines(session: RunSession, executor: Executor) -> None:
    """Record changes every two seconds until cancelled."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        record_machines(session, executor)
