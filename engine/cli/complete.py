"""Shell completion: names of runs and tasks, and values of a few options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from engine.cli.pick import folder_of
from engine.runs.folder import all_runs
from engine.runs.presets import PRESETS
from engine.task.load import builtin_tasks

__all__ = ["preset_names", "run_names", "task_names"]


def run_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the runs whose names begin so, newest first. If there are none, the shell completes paths."""
    runs: Any = ctx.params.get("runs")
    return [run.name for run in all_runs(folder_of(Path(runs) if runs else None)) if run.name.startswith(incomplete)]


def task_names(incomplete: str) -> list[str]:
    """Return the built-in tasks whose names begin so."""
    return [folder.name for folder in builtin_tasks() if folder.name.startswith(incomplete)]


def preset_names(incomplete: str) -> list[str]:
    """Return the presets whose names begin so."""
    return [name for name in PRESETS if name.startswith(incomplete)]
