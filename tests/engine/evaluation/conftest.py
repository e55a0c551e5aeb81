"""Set-up for real evaluations of small tasks, in the sandbox and without it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.bubblewrap import LANDLOCK_VARIABLE, OFF, VARIABLE
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.task.spec import Limits
from tests.needs import require

OPEN = """
import importlib.util

def evaluate(program_path, report):
    spec = importlib.util.spec_from_file_location("candidate", program_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run(report)
"""
"""An evaluator that runs the candidate in its own process."""

GUARDED = """
import evolve_task

def evaluate(program_path):
    return {"score": evolve_task.call("run")}
"""


@dataclass
class Workplace:
    """A task folder with functions to evaluate programs."""

    folder: Path
    sandbox: str
    token: str = field(default_factory=lambda: f"{uuid.uuid4().int % 10**12}")
    """Part of the command line of every process whose survival is checked."""
    progress: list[tuple[float | None, dict[str, float]]] = field(default_factory=list)

    def job(self, program: str, evaluator: str = OPEN, **options: Any) -> Job:
        task = self.folder / "task"
        task.mkdir(exist_ok=True)
        (task / "evaluate.py").write_text(evaluator)
        limits = Limits(**{"seconds": 20.0, **options.pop("limits", {})})
        defaults: dict[str, Any] = {
            "guarded": False,
            "gpu": False,
            "python": None,
            "mounts": [],
            "stage": "explore",
            "repeat": 0,
            "seed": 1,
            "settings": {},
            "threads": 1,
        }
        return Job(
            program=program.replace("TOKEN", self.token),
            task_folder=task,
            folder=self.folder / "run" / "work" / uuid.uuid4().hex[:8],
            metric="score",
            limits=limits,
            **{**defaults, **options},
        )

    async def start(self, program: str, evaluator: str = OPEN, **options: Any) -> Evaluation:
        return await Evaluation.start(
            self.job(program, evaluator, **options), lambda step, values: self.progress.append((step, values))
        )

    async def evaluate(self, program: str, evaluator: str = OPEN, **options: Any) -> Outcome:
        """Evaluate to the end, and check that nothing is left."""
        job = self.job(program, evaluator, **options)
        evaluation = await Evaluation.start(job, lambda step, values: self.progress.append((step, values)))
        outcome = await evaluation.outcome()
        assert self.alive() == []
        await evaluation.acknowledge()
        assert not job.folder.exists()
        assert outcome.sandbox == self.sandbox
        return outcome

    def alive(self) -> list[int]:
        """List the processes with the token."""
        return processes_with(self.token)


def processes_with(text: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and text.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


async def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait for a condition, and fail if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while True:
        before = time.thread_time()
        if value := condition():
            return value
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(max(0.005, 9 * (time.thread_time() - before)))


LEVELS = [
    pytest.param("bubblewrap", marks=pytest.mark.needs("bubblewrap")),
    pytest.param("landlock", marks=pytest.mark.needs("landlock")),
    "limits",
]


def choose_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confine as on a machine that offers this level and no better one."""
    if level != "bubblewrap":
        monkeypatch.setenv(VARIABLE, OFF)
    if level == "limits":
        monkeypatch.setenv(LANDLOCK_VARIABLE, OFF)


@pytest.fixture(params=LEVELS)
def work(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Return a workplace, once at each level of confinement."""
    choose_level(request.param, monkeypatch)
    return Workplace(tmp_path, request.param)


@pytest.fixture
def guarded(tmp_path: Path) -> Workplace:
    """Return a workplace with bubblewrap."""
    require("bubblewrap")
    return Workplace(tmp_path, "bubblewrap")
