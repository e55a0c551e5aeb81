"""What sbatch is told of an evaluation."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path

from engine.errors import TaskError
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from engine.task.spec import Limits

__all__ = ["job_arguments", "job_script", "needed", "partitions_of"]

_BESIDE_MB = 512
"""Memory that a job needs beside its evaluation."""
_BESIDE_SECONDS = 600.0
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from engine.evaluation.executors.slurm_job import main; "
    "main(*sys.argv[2:])"
)


def job_arguments(name: str, folder: Path, limits: Limits, options: list[str]) -> list[str]:
    """Return the options of sbatch for an evaluation.

    Args:
        name: the name of its job.
        folder: its folder in the shared one.
        limits: those of the evaluation; they say how much memory and time it gets.
        options: further ones, which win.
    """
    log = f"{folder}/log".replace("%", "%%")  # sbatch fills in what follows a %
    minutes = math.ceil((limits.seconds + _BESIDE_SECONDS) / 60)
    return [
        f"--job-name={name}", f"--output={log}", f"--chdir={folder}", "--nodes=1", "--ntasks=1",
        "--export=ALL", "--no-requeue", f"--mem={math.ceil(limits.memory_mb) + _BESIDE_MB}M",
        f"--time={minutes}", *options,
    ]  # fmt: skip


def job_script(settings: ExecutorSettings, source: str, root: Path, name: str) -> bytes:
    """Return the script of a job."""
    command = [settings.python or sys.executable, "-I", "-c", _START, source, str(root), name]
    return f"#!/bin/sh\nexec {shlex.join(command)}\n".encode()


def needed(resources: Resources) -> list[str]:
    """Return the options of sbatch for what an evaluation takes.

    Raises:
        TaskError: it takes a part of what SLURM gives whole.
    """
    generic = {name: value for name, value in {"gpu": resources.gpus or 0.0, **resources.custom}.items() if value}
    for name, value in generic.items():
        if value != int(value):
            raise TaskError(
                f"[resources] asks for {value:g} of '{name}', and SLURM gives whole ones only",
                "Ask for 1, or for shards, where the cluster has them: gpus = 0, custom = { shard = 1 }",
            )
    gres = ",".join(f"{name}:{int(value)}" for name, value in generic.items())
    return [f"--cpus-per-task={max(1, math.ceil(resources.cpus))}", *([f"--gres={gres}"] if gres else [])]


def partitions_of(options: list[str]) -> str:
    """Return the partitions that options, or else the environment, name, with commas between them; empty if none."""
    for option, following in zip(options, [*options, ""][1:], strict=True):
        for mark in ("--partition=", "-p"):
            if option.startswith(mark) and option != mark:
                return option.removeprefix(mark)
        if option in ("--partition", "-p"):
            return following
    return os.environ.get("SBATCH_PARTITION", "")
