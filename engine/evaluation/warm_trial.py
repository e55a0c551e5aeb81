"""Try out whether evaluations can be forked on this machine."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from engine.evaluation.bubblewrap import wants_warm
from engine.evaluation.evaluator import Evaluation, Job
from engine.evaluation.launch import warm_starts
from engine.evaluation.sandbox import find_sandbox
from engine.task.spec import Limits

__all__ = ["find_cold_reason"]

_EVALUATOR = """
import evolve_task

def evaluate(program_path):
    return {"score": evolve_task.call("run")}
"""
_PROGRAM = "def run():\n    return 1.0\n"


def _lay(task: Path) -> None:
    task.mkdir()
    (task / "evaluate.py").write_text(_EVALUATOR)


async def find_cold_reason() -> str:
    """Run two small evaluations, and return why the second is not forked; nothing if it is.

    Raises:
        EvolveError: they cannot run, or the sandbox's settings are invalid.
    """
    if not wants_warm():
        return "it is switched off"
    sandbox = find_sandbox()
    if not sandbox.path:
        return "it needs the namespaces of bubblewrap"
    if not sandbox.size:
        return "it needs bubblewrap 0.7 or newer"
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder, "task")
        await asyncio.to_thread(_lay, task)
        evaluation = None
        for name in ("first", "second"):
            evaluation = await Evaluation.start(
                Job(
                    program=_PROGRAM, task_folder=task, folder=Path(folder, "run", name), metric="score", guarded=True,
                    gpu=False, python=None, mounts=[], stage="quick", repeat=0, seed=0, settings={}, limits=Limits(),
                    threads=1,
                ),
                lambda step, values: None,
            )  # fmt: skip
            outcome = await evaluation.outcome()
            await evaluation.acknowledge()
        warm_starts.close()
    assert evaluation is not None
    if evaluation.warm and outcome.status == "ok":
        return ""
    return warm_starts.failure or outcome.reason or "system calls of this machine are not known"
