"""No candidate passes a limit under bubblewrap; what passes without a cgroup is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.evaluation.cgroups import CGROUP_VARIABLE
from tests.engine.evaluation.conftest import Workplace

from .limit_candidates import CANDIDATES, Candidate

EVALUATE = """
import evolve_task

def evaluate(program_path):
    for _ in range(CALLS):
        score = evolve_task.call("run")
    return {"score": score}
"""


@pytest.fixture(params=[pytest.param("cgroup", marks=pytest.mark.needs("cgroup")), "no cgroup"])
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Tell whether each evaluation has a cgroup."""
    monkeypatch.setenv(CGROUP_VARIABLE, "auto" if request.param == "cgroup" else "off")
    return bool(request.param == "cgroup")


@pytest.mark.needs("bubblewrap")
@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
async def test_limit_holds(candidate: Candidate, counted: bool, tmp_path: Path) -> None:
    work = Workplace(tmp_path, "bubblewrap")
    evaluator = EVALUATE.replace("CALLS", str(candidate.calls))
    limits = {"memory_mb": 192, "seconds": 20.0, **candidate.limits}
    outcome = await work.evaluate(candidate.program, evaluator, guarded=True, limits=limits)
    status, reason = candidate.right if counted or candidate.without is None else candidate.without
    assert (outcome.status, reason in outcome.reason) == (status, True), f"{outcome.status}: {outcome.reason}"
