"""The outcome of an evaluation: what is told of it, and how it survives an engine that does not take it."""

# Pathlib would add to the time it takes to start.
# ruff: noqa: PTH104

from __future__ import annotations

import base64
import json
import os
import resource

TYPE_CHECKING = False  # typing's own constant without typing, which takes time to import
if TYPE_CHECKING:
    from typing import Any

    from .capture import Capture
    from .usage import Usage

__all__ = ["make_outcome", "spool"]


def make_outcome(
    result: dict[str, Any], job: dict[str, Any], usage: Usage, captures: tuple[Capture, Capture], seconds: float
) -> dict[str, object]:
    """All that the engine is told of an evaluation that has ended, its processes gone."""
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
    """Write an outcome into the evaluation's folder so that it survives even a power cut."""
    path = folder + "/outcome.json"
    with open(path + ".tmp", "w") as file:
        json.dump(outcome, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
