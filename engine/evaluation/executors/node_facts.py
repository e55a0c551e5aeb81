"""What a machine of a cluster is: what scores may depend on there, and what `evolve doctor` asks of it."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from typing import Any

import msgspec

__all__ = ["facts_of", "survey"]

_LIBRARIES = ("numpy", "scipy", "torch", "triton", "jax", "scikit-learn")


@functools.cache
def facts_of(python: str | None, gpu: bool) -> tuple[tuple[str, str], ...]:
    """Return what scores may depend on: processor, versions, GPU.

    Args:
        python: the task's interpreter; None: this one.
        gpu: whether evaluations use the GPU.
    """
    facts = {"machine": platform.machine(), "cpu": _processor(), "cores": str(os.cpu_count() or 0)}
    facts |= _libraries(python)
    if gpu:
        facts |= _gpu()
    return tuple(sorted(facts.items()))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "CPU part"))]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


_ASK_LIBRARIES = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def _libraries(python: str | None) -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers come from, of the task's interpreter."""
    if python is not None:
        command = [shutil.which(python) or python, "-I", "-c", _ASK_LIBRARIES, *_LIBRARIES]
        try:
            said = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
            return {str(name): str(version) for name, version in json.loads(said).items()}
        except (OSError, ValueError, subprocess.SubprocessError):
            return {"python": python}
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> dict[str, str]:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    name, _, driver = (lines or [""])[0].partition(",")
    return {"gpu": name.strip(), "driver": driver.strip()}


def survey(root: str) -> bytes:
    """Return what `evolve doctor` asks of a machine, as JSON."""
    from engine.evaluation.cgroups import configured_cgroups
    from engine.evaluation.sandbox import find_sandbox

    sandbox = find_sandbox()
    space = shutil.disk_usage(root)
    found: dict[str, Any] = {
        "type": "survey",
        "python": platform.python_version(),
        "executable": sys.executable,
        "msgspec": msgspec.__version__,
        "sandbox": sandbox.name,
        "guards": sandbox.guards,
        "shortfall": sandbox.shortfall,
        "cgroup": configured_cgroups().version,
        "scratch": root,
        "free_mb": space.free >> 20,
        "clock": time.time(),
        "facts": dict(facts_of(None, shutil.which("nvidia-smi") is not None)),
    }
    return json.dumps(found).encode()
