"""Choose the executor that a run's settings name."""

from __future__ import annotations

from collections.abc import Callable

from engine.evaluation.executors.base import Executor
from engine.evaluation.executors.local import LocalExecutor
from engine.evaluation.gpus import Gpus
from engine.settings.executor import ExecutorSettings
from engine.task.spec import TaskSpec

__all__ = ["make_executor"]


def make_executor(
    settings: ExecutorSettings, spec: TaskSpec, devices: list[int] | None, run_key: Callable[[], bytes]
) -> Executor:
    """Return an executor that is not yet open.

    Args:
        settings: which one.
        spec: the task.
        devices: indices of this machine's GPUs that may be used; None: all.
        run_key: returns a key of the run that no program knows; called by an executor that needs it, when it opens.

    Raises:
        EvolveError: the task cannot run there.
    """
    if settings.name == "ray":
        # Loaded where it is wanted: most engines know one machine.
        from engine.evaluation.executors.ray import RayExecutor

        return RayExecutor(settings, spec.resources.of_task(spec.gpu))
    if settings.name == "slurm":
        from engine.evaluation.executors.slurm import SlurmExecutor

        return SlurmExecutor(settings, spec.resources.of_task(spec.gpu), spec.exclusive, run_key)
    return LocalExecutor(Gpus(devices) if spec.gpu else None, spec.exclusive)
