"""Set-up for the tests of the task rl_algorithm."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation import evolve_task
from tests.engine.tasks.builtin import BuiltIn

RL = BuiltIn("rl_algorithm")
SEED = RL.seed
ROLES = {
    "baseline",
    "spread",
    "normalise",
    "reshape",
    "credit",
    "importance",
    "surrogate",
    "penalty",
    "exploration",
    "average",
}
SMALL = {"prompts": 8, "answers": 4, "steps": 4, "measure_every": 2, "held_out": 32, "width": 16, "heads": 2}

# Looks for things that it must not see; if it finds nothing, it damages its arguments and its process.
THIEF = """
import gc, glob, sys, time
import numpy

def _loot():
    found = [type(item).__name__ for item in gc.get_objects() if issubclass(type(item), torch.nn.Module)]
    found += [name for name in sys.modules if name in ("trainer", "problems", "policy", "evaluate")]
    for top in (".", TASK_FOLDER):
        found += [path for name in ("problems", "trainer") for path in glob.glob(f"{top}/**/{name}.py", recursive=True)]
    frame = sys._getframe()
    while frame is not None:
        found += [name for name in frame.f_locals if name in ("tokens", "prompts", "answers", "policy")]
        frame = frame.f_back
    return found

_searched = []
_honest = advantages

def advantages(rewards, mask, logp_old, progress):
    if not _searched:
        _searched.append(_loot())
        if _searched[0]:
            raise RuntimeError(f"loot: {_searched[0]}")
    found = _honest(rewards, mask, logp_old, progress)
    for handed in (rewards, mask, logp_old):
        handed.fill_(1.0)
    numpy.isfinite = numpy.ones_like
    time.perf_counter = lambda: 0.0
    return found
"""


@pytest.fixture
def load() -> Iterator[Callable[[str], Any]]:
    """Import one of the task's files, for this test only."""
    with RL.importable() as load:
        yield load


@pytest.fixture
def hand(load: Callable[[str], Any], tmp_path: Path) -> Callable[[str], Any]:
    """Return a program as the trainer sees it, in this process."""

    def make(code: str, name: str = "a test") -> Any:
        path = tmp_path / "program.py"
        path.write_text(code)
        module = types.ModuleType("program")
        module.__file__ = str(path)
        exec(compile(code, path, "exec"), module.__dict__)
        sys.modules["program"] = module
        sys.modules.pop("beside", None)
        beside = load("beside")

        class Session:
            def call(self, function: str, *arguments: Any) -> Any:
                return evolve_task._decode(evolve_task._encode(getattr(beside, function)(*arguments)))

        candidate = load("candidate")
        return candidate.Hand(candidate.Candidate(Session()), name)

    return make


def untimed(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out metrics that depend on the speed of the machine."""
    return {name: value for name, value in metrics.items() if name not in ("steps_per_s", "algorithm_share")}
