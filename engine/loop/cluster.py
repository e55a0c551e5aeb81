"""Record which machines the executor has, and end what earlier engines left on those of another one."""

from __future__ import annotations

import asyncio

from engine.errors import EvolveError
from engine.evaluation.executors import slurm_commands as slurm
from engine.evaluation.executors.base import Executor
from engine.journal.events import ClusterChanged, ClusterMachine
from engine.loop.session import RunSession
from engine.state.run_state import RunState
from engine.text import counted

__all__ = ["leave_others", "record_machines", "watch_machines"]

_LOOK_SECONDS = 2.0
_NAMED = 3
"""Most jobs that a sentence names: a thousand may have been in flight."""


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


async def leave_others(state: RunState, executor: Executor) -> list[str]:
    """Cancel what earlier engines submitted to SLURM, unless this engine evaluates there; nothing else outlives one.

    Args:
        state: the run, before this engine is announced.
        executor: where this engine evaluates.

    Returns:
        What people should know of it, a sentence each.
    """
    left = [item for item in state.submitted.values() if item.executor == "slurm" != executor.name]
    if not left:
        return []
    names = sorted(f"{slurm.PREFIX}{item.key}-{item.attempt}" for item in left)
    what = f"{counted(len(left), 'evaluation')} on SLURM, measured anew since this engine evaluates elsewhere"
    try:
        await slurm.cancel_named(names)
    except EvolveError as exc:
        return [f"{what}; it may go on there, as {exc.message}: 'scancel --name={names[0]}' ends it"]
    told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
    return [f"{what}; its jobs are cancelled: {told}"]
