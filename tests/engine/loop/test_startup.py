"""What an engine records and recalls before the first round, over a real journal without an engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cognition.store import BaseError
from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import MedianRule
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.loop import startup
from engine.loop.startup import announce, recall_curves, recall_priors
from engine.priors.place import priors_of
from engine.runs.asking import ask
from engine.runs.folder import Run
from engine.runs.secret import open_data_seeds
from engine.settings.executor import ExecutorSettings
from engine.task.spec import EarlyStop
from tests.conftest import TaskMaker
from tests.e2e.runs import events, finish, make_run
from tests.engine.loop.parts import Parts, add_node, measure, open_parts

PRIOR = "---\ntitle: Go far\n---\nMove the point towards (3, 1).\n"


def announced(parts: Parts, run: Run) -> ev.EngineStarted:
    """Announce an engine; return what that recorded."""
    state = parts.session.state
    seeds, priors = open_data_seeds(run.folder, state), priors_of(run.folder, state)
    announce(parts.session, seeds, priors, "recombine", 4, 2, ExecutorSettings())
    assert state.engine is not None
    return state.engine


async def test_announcement_tells_what_a_moved_run_lacks(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task(priors={"far.md": PRIOR})
    run = make_run(task, tmp_path / "runs")
    async with open_parts(run) as parts:
        first = announced(parts, run)
        assert (first.pid, first.workers, first.slots, first.missing) == (os.getpid(), 4, 2, [])
        assert first.secret == parts.session.state.start.secret != ""
        shutil.rmtree(task / "priors")
        assert announced(parts, run).missing == [], "no design was shown a prior"
        parts.session.emit(ev.RoundStarted(), round=1)
        parts.session.emit(ev.LearnDone(0, priors=[ev.PriorShown("far", "0" * 64, "Go far", 1.0, "", 1)]), round=1)
        (lack,) = announced(parts, run).missing
        assert f"the folder of its priors, {task / 'priors'}, is gone" in lack
        for secret in run.folder.glob("*secret*"):
            secret.unlink()
        assert len(announced(parts, run).missing) == 2


def test_announcement_names_the_executor_that_was_set_for_this_start(make_task: TaskMaker, tmp_path: Path) -> None:
    nowhere = {"name": "ray", "address": "127.0.0.1:1"}
    run = make_run(make_task(), tmp_path / "runs", rounds=0, executor=nowhere)
    ask(run, "set", {"settings": {"executor": {"name": "local"}}})
    finish(run)
    (started,) = [event.data for event in events(run, ev.EngineStarted)]
    assert isinstance(started, ev.EngineStarted) and (started.executor, started.address) == ("", "")


async def test_outcomes_of_earlier_runs_are_recalled_once(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(priors={"far.md": PRIOR})
    earlier = make_run(task, tmp_path / "runs")
    async with open_parts(earlier) as parts:
        measure(parts.session, 0, -9.0)
        await parts.priors.look()
        for score in (-1.0, -20.0):
            shown = [ev.PriorShown("far", "0" * 64, "Go far", 1.0, "", 1)]
            round_ = len(parts.session.state.nodes)
            parts.session.emit(ev.RoundStarted(), round=round_)
            parts.session.emit(ev.LearnDone(0, priors=shown), round=round_)
            code = f"# {score}"
            designed = ev.DesignDone(
                sha256_of(code.encode()), "tune", "n", "try", [0], priors=["far"], digest=f"digest {score}"
            )
            parts.session.emit(designed, round=round_, node=round_, blobs=[code.encode()])
            measure(parts.session, round_, score)
    plain = make_run(task, tmp_path / "runs")
    async with open_parts(plain) as parts:
        await recall_priors(parts.session, plain.folder)
    assert not events(plain, ev.PriorsRecalled), "the settings do not ask for it"
    run = make_run(task, tmp_path / "runs", designer={"earlier_runs": True})
    async with open_parts(run) as parts:
        with monkeypatch.context() as broken:
            broken.setattr(startup, "open_collection", fail)
            await recall_priors(parts.session, run.folder)
        assert "without the outcomes of priors in earlier runs: it is locked" in parts.session.state.prior_problems[0]
        for _ in range(2):
            await recall_priors(parts.session, run.folder)
    assert [event.data for event in events(run, ev.PriorsRecalled)] == [ev.PriorsRecalled({"far": (1, 1)})]


def fail(place: object) -> None:
    raise BaseError("it is locked")


async def test_curves_of_successful_evaluations_are_recalled(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        for number, (status, loss) in enumerate((("ok", 2.0), ("crashed", 9.0), ("ok", 4.0))):
            curve = Curve()
            for step in range(3):
                curve.add(float(step), {"loss": loss})
            blob = curve.encode()
            done = ev.EvalStageDone("explore", status, number, score=1.0, curve_blob=sha256_of(blob))  # type: ignore[arg-type]
            parts.session.emit(done, round=0, node=0, blobs=[blob])
        add_node(parts.session, 1.0)  # without a curve
        await parts.session.durable()
        rule, other = (MedianRule(EarlyStop("loss", direction="minimize", earlier=2)) for _ in range(2))
        recall_curves(parts.session, {"explore": rule, "verify": other})
        assert (rule.median(1.0), other.median(1.0)) == (3.0, None)
