"""Evaluations of the built-in task kernel_speed, each with its build."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.evaluation.build import Builds, build_of
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.task.load import find_task, load_task

__all__ = ["TASK", "evaluate_kernel", "run_job"]

TASK = load_task(find_task("kernel_speed"))


async def evaluate_kernel(folder: Path, code: str, **settings: Any) -> Outcome:
    """Build and evaluate a kernel with few and small timed calls; return the outcome.

    Args:
        folder: where the evaluation gets its own folder.
        code: the program.
        settings: on top of these.
    """
    spec = TASK.spec
    job = Job(
        program=code,
        task_folder=TASK.folder,
        folder=folder / "run" / "work" / uuid.uuid4().hex[:8],
        metric=spec.metric,
        guarded=True,
        gpu=False,
        python=None,
        mounts=[],
        stage="explore",
        repeat=0,
        seed=3,
        settings={**spec.settings, "size": "tiny", "warm": 3, "cold": 2, **settings},
        limits=spec.limits,
        threads=1,
        cores=spec.cores,
        suffix=".c",
        build=build_of(spec, TASK.folder),
    )

    made = await Builds(run_job).of(job)
    return made if isinstance(made, Outcome) else await run_job(replace(job, built=made))


async def run_job(job: Job) -> Outcome:
    """Evaluate to the end, and return the outcome."""
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome
