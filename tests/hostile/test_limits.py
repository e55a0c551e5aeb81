"""No candidate passes a limit under bubblewrap; what passes without a cgroup is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.cgroups import CGROUP_VARIABLE
from tests.engine.evaluation.conftest import LEVELS, Workplace, choose_level

from .limit_candidates import CANDIDATES, Candidate

EVALUATE = """
import evolve_task

def evaluate(program_path):
    for _ in range(CALLS):
        score = evolve_task.call("run")
    return {"score": score}
"""


def _cases() -> Iterator[Any]:
    """Each candidate, with a cgroup for the evaluation and without one."""
    for candidate in CANDIDATES:
        for way in ("no cgroup",) if candidate.alike else ("cgroup", "no cgroup"):
            marks = [pytest.mark.needs("cgroup")] if way == "cgroup" else []
            yield pytest.param(candidate, way == "cgroup", id=f"{way}-{candidate.name}", marks=marks)


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize(("candidate", "counted"), _cases())
async def test_limit_holds(
    candidate: Candidate, counted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CGROUP_VARIABLE, "auto" if counted else "off")
    work = Workplace(tmp_path, "bubblewrap")
    evaluator = EVALUATE.replace("CALLS", str(candidate.calls))
    limits = {"memory_mb": 192, "seconds": 20.0, **candidate.limits}
    outcome = await work.evaluate(candidate.program, evaluator, guarded=True, limits=limits)
    status, reason = candidate.right if counted or candidate.without is None else candidate.without
    assert (outcome.status, reason in outcome.reason) == (status, True), f"{outcome.status}: {outcome.reason}"


SHARED = (
    "one block", "children", "daemon in a session of its own", "shared, written by children that are gone", "memfds",
    "memfds on their way through a socket", "page tables of children", "buffers of sockets", "forks",
    "CPU of children one after the other", "CPU of children that nobody waits for",
    "CPU past a signal that is ignored", "a little in each of many calls", "half of everything",
)  # fmt: skip
"""What a cgroup stops on every level."""


@pytest.mark.needs("cgroup")
@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("name", SHARED)
async def test_cgroup_holds_without_bubblewrap(
    name: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_level(level, monkeypatch)
    candidate = next(candidate for candidate in CANDIDATES if candidate.name == name)
    evaluator = EVALUATE.replace("CALLS", str(candidate.calls))
    limits = {"memory_mb": 192, "seconds": 20.0, **candidate.limits}
    outcome = await Workplace(tmp_path, level).evaluate(candidate.program, evaluator, guarded=True, limits=limits)
    status, reason = candidate.right
    assert (outcome.status, reason in outcome.reason) == (status, True), f"{outcome.status}: {outcome.reason}"
