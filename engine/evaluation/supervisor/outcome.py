"""Build the outcome of an evaluation, and store it on disk in case no engine receives it."""

# Importing pathlib would delay the start.
# ruff: noqa: PTH104

from __future__ import annotations

import base64
import json
import os
import resource

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

    from .capture import Capture
    from .usage import Usage

__all__ = ["make_outcome", "spool"]


def make_outcome(
    result: dict[str, Any], job: dict[str, Any], usage: Usage, captures: tuple[Capture, Capture], seconds: float
) -> dict[str, object]:
    """Build the outcome for the engine, after all processes of the evaluation have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **result,
        "guarantee": job["guarantee"],
        "sandbox": job["sandbox"],
        "seconds": round(seconds, 4),
        "cpu_seconds": round(max(usage.cpu, used.ru_utime + used.ru_stime), 4),
        "peak_mb": round(max(usage.peak, used.ru_maxrss / 1024), 1),
        "stdout": base64.b64encode(captures[0].content()).decode(),
        "stderr": base64.b64encode(captures[1].content()).decode(),
    }


def spool(folder: str, outcome: dict[str, object]) -> None:
    """Write an outcome to the evaluation's folder and sync it, so that it survives a power cut."""
    path = folder + "/outcome.json"
    with open(path + ".tmp", "w") as file:
        json.dump(outcome, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
