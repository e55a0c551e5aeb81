"""Whether a SLURM cluster has room for an evaluation at all."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import EvolveError
from engine.evaluation.executors.base import Machine
from engine.task.resources import Resources

__all__ = ["check_room"]

_SIZES = ("--cpus-per-task", "--gres", "--gpus", "--clusters", "--ntasks", "--nodes", "-c", "-G", "-M", "-n", "-N")
"""Options by which a job takes something else than its task says, or runs on other machines than were looked at."""


def check_room(machines: Sequence[Machine], resources: Resources, partitions: str, options: Sequence[str]) -> None:
    """Check that some machine is large enough for an evaluation, whether it is free or not.

    Args:
        machines: those that are up.
        resources: what an evaluation takes.
        partitions: names of the partitions that they belong to, with commas; empty for the default one.
        options: what people add to each sbatch; where they say what a job takes, SLURM alone knows what fits.

    Raises:
        EvolveError: no machine is up, or none is large enough.
    """
    if any(option.startswith(_SIZES) for option in options):
        return
    where = f"partition {partitions}" if partitions else "the default partition"
    another = "executor.options = ['--partition=NAME'] names another partition"
    if not machines:
        raise EvolveError(f"SLURM has no machine that is up in {where}", f"'sinfo' tells what there is; {another}")
    if not any(machine.slots for machine in machines):
        needs = {"cores": resources.cpus, "GPUs": resources.gpus or 0.0, **resources.custom}
        listed = ", ".join(f"{value:g} {name}" for name, value in needs.items() if value)
        most = max(machines, key=lambda machine: (machine.gpus, machine.cores))
        raise EvolveError(
            f"no machine of {where} is large enough for an evaluation, which takes {listed}; "
            f"{most.name} has {most.cores:g} cores and {most.gpus:g} GPUs",
            f"Lower [resources] in task.toml; or {another}",
        )
