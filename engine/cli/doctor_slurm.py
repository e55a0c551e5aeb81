"""What `evolve doctor --executor slurm` looks at: the cluster, the shared folder, and one of its machines by a job."""

from __future__ import annotations

import secrets
import time

from engine.cli.doctor_cluster import check_machine
from engine.cli.doctor_models import Check
from engine.errors import EvolveError
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources

__all__ = ["check_slurm"]

_WAIT_SECONDS = 120.0
_ADVICE = (
    "Name a folder that all machines see as executor.scratch, an interpreter with msgspec as executor.python, and what "
    "else sbatch needs in executor.options, such as --partition or --account"
)


async def check_slurm(settings: ExecutorSettings) -> list[Check]:
    """Check the cluster by what SLURM says, and a machine by a job of one core; wait up to two minutes for that."""
    from engine.evaluation.executors.slurm import SlurmExecutor

    executor = SlurmExecutor(settings, Resources(gpus=0.0), False, lambda: secrets.token_bytes(32))
    try:
        await executor.open()
    except EvolveError as exc:
        return [Check("cluster", "bad", exc.message, exc.hint)]
    try:
        room = sum(machine.slots for machine in executor.machines)
        found = f"SLURM, {len(executor.machines)} machines, {room} cores, {executor.slots(None)} evaluations at once"
        began = time.time()
        said = await executor.survey(_WAIT_SECONDS)
        return [
            Check("cluster", "ok", f"{found} unless `slots` says how many"),
            check_machine("of a job", said, began, _ADVICE),
        ]
    finally:
        await executor.aclose()
