"""Evaluations in real processes, without an engine and without a journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import Stopping
from engine.evaluation import gpus
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import MedianRule
from engine.evaluation.evaluator import Evaluation, Job, Outcome, Printed, Progress
from engine.evaluation.executors.base import EvaluationLost, Placed, RunningEvaluation, Submission
from engine.evaluation.executors.local import LocalExecutor
from engine.loop.evaluations import Evaluations
from engine.loop.gate import PauseGate
from engine.state.node import NodeEvaluation
from engine.task.spec import EarlyStop, Limits
from tests.conftest import TaskMaker

WAITING = """\
import pathlib
import time


def evaluate(path, report):
    step = 0
    while not pathlib.Path("@GO@").exists():
        step += 1
        report(step, loss=9.0)
        time.sleep(0.02)
    return {"score": 1.0}
"""
"""Runs until a file appears."""


class Record:
    """Keep what is recorded; wait for it."""

    def __init__(self, folder: Path, log: list[str] | None = None) -> None:
        self._folder = folder
        self.log = [] if log is None else log
        self.outcome: Outcome | None = None
        self.device = ""
        self.reports = 0
        self.text = ""
        self._reported = asyncio.Event()

    def started(self, job: Job) -> None:
        """Note the start."""
        self.device = job.device
        self.log.append(f"start {self._folder.name}")

    def progressed(self, step: float | None, values: dict[str, float]) -> None:
        """Count the report."""
        self.reports += 1
        self._reported.set()

    def printed(self, stream: str, text: str, left_out: int) -> None:
        """Keep what was printed."""
        self.text += text

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        """Note the end; the folder is there until this returns."""
        assert self._folder.exists()
        self.outcome = outcome
        self.log.append(f"end {self._folder.name}")

    async def report(self) -> None:
        """Wait for one more report."""
        self._reported.clear()
        await self._reported.wait()


MakeJob = Callable[..., Job]


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that waiting evaluations wait for, in a folder that they may read."""
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder / "go"


@pytest.fixture
def job(make_task: TaskMaker, tmp_path: Path, go: Path) -> MakeJob:
    task = make_task(evaluate=WAITING.replace("@GO@", str(go)))
    (tmp_path / "work").mkdir()

    def make(node: int = 0) -> Job:
        return Job(
            program=(task / "seed.py").read_text(), task_folder=task, folder=tmp_path / "work" / f"{node}-explore-0",
            metric="score", guarded=False, gpu=False, python=None, mounts=[str(go.parent)], stage="explore", repeat=0,
            seed=1, settings={}, limits=Limits(seconds=60), threads=1,
        )  # fmt: skip

    return make


def evaluations(tmp_path: Path, gate: PauseGate, slots: int = 2, rule: MedianRule | None = None) -> Evaluations:
    early_stop = {} if rule is None else {"explore": rule}
    return Evaluations(tmp_path / "work", gate, CapacityLimiter(slots), early_stop=early_stop)


async def test_outcome_is_recorded_before_its_folder_goes(tmp_path: Path, job: MakeJob, go: Path) -> None:
    go.touch()
    running = evaluations(tmp_path, PauseGate())
    record = Record(job().folder)
    await running.run(job(), 1, record)
    assert record.outcome is not None and (record.outcome.status, record.outcome.score) == ("ok", 1.0)
    assert not job().folder.exists()
    assert len(running) == 0


async def test_one_slot_runs_one_evaluation_at_a_time(tmp_path: Path, job: MakeJob, go: Path) -> None:
    go.touch()
    log: list[str] = []
    running = evaluations(tmp_path, PauseGate(), slots=1)
    await asyncio.gather(*(running.run(job(node), node, Record(job(node).folder, log)) for node in range(3)))
    assert log == [f"{what} {node}-explore-0" for node in range(3) for what in ("start", "end")]


async def test_exclusive_evaluations_of_two_engines_wait_for_each_other(
    tmp_path: Path, job: MakeJob, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    log: list[str] = []
    engines = [
        Evaluations(tmp_path / "work", PauseGate(), CapacityLimiter(2), executor=LocalExecutor(exclusive=True))
        for _ in range(2)
    ]
    first, second = (Record(job(node).folder, log) for node in range(2))
    tasks = [asyncio.create_task(engines[0].run(job(0), 1, first))]
    await first.report()
    tasks.append(asyncio.create_task(engines[1].run(job(1), 1, second)))
    await first.report()
    go.touch()
    await asyncio.gather(*tasks)
    assert log == [f"{what} {node}-explore-0" for node in range(2) for what in ("start", "end")]


async def test_nothing_starts_while_the_gate_is_closed(tmp_path: Path, job: MakeJob, go: Path) -> None:
    gate = PauseGate()
    gate.pause()
    running = evaluations(tmp_path, gate)
    record = Record(job().folder)
    task = asyncio.create_task(running.run(job(), 1, record))
    await asyncio.sleep(0)
    assert not record.log
    go.touch()
    gate.resume()
    await task
    assert len(record.log) == 2


async def test_frozen_evaluation_reports_nothing_until_it_is_thawed(tmp_path: Path, job: MakeJob, go: Path) -> None:
    running = evaluations(tmp_path, PauseGate())
    first, second = Record(job(1).folder), Record(job(2).folder)
    tasks = [asyncio.create_task(running.run(job(1), 1, first))]
    await first.report()
    running.freeze()
    # One that starts while others are frozen is frozen, too.
    tasks.append(asyncio.create_task(running.run(job(2), 2, second)))
    while len(running) < 2:
        await asyncio.sleep(0.01)
    go.touch()
    done, _ = await asyncio.wait(tasks, timeout=0.5)
    assert not done
    running.thaw()
    await asyncio.gather(*tasks)
    assert first.outcome is not None and second.outcome is not None
    assert (first.outcome.status, second.outcome.status) == ("ok", "ok")


async def test_cancel_ends_running_evaluations_and_those_that_start(tmp_path: Path, job: MakeJob) -> None:
    gate = PauseGate()
    running = evaluations(tmp_path, gate)
    first, second = Record(job(1).folder), Record(job(2).folder)
    tasks = [asyncio.create_task(running.run(job(1), 1, first))]
    await first.report()
    # The second one is past the gate when all are cancelled.
    tasks.append(asyncio.create_task(running.run(job(2), 2, second)))
    while not second.log:
        await asyncio.sleep(0)
    gate.stop(now=True)
    running.cancel("the engine is stopping")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [Stopping, Stopping]
    assert first.outcome is None and second.outcome is None
    assert not job(1).folder.exists() and not job(2).folder.exists()


async def test_hopeless_evaluation_is_stopped_early(tmp_path: Path, job: MakeJob) -> None:
    rule = MedianRule(EarlyStop("loss", direction="minimize", earlier=1, from_step=2))
    rule.add([(float(step), {"loss": 1.0}) for step in range(10_000)])
    record = Record(job().folder)
    await evaluations(tmp_path, PauseGate(), rule=rule).run(job(), 1, record)
    assert record.outcome is not None
    assert record.outcome.status == "rejected"
    assert record.outcome.reason.startswith("stopped early at step")


@pytest.mark.parametrize("same", [True, False])
async def test_result_left_by_an_earlier_engine_counts_for_its_program(
    tmp_path: Path, job: MakeJob, go: Path, same: bool
) -> None:
    go.touch()
    leave_result(job(), job().program if same else "x = 1\n")
    record = Record(job().folder)
    await evaluations(tmp_path, PauseGate()).run(job(), 1, record)
    assert record.outcome is not None
    assert record.outcome.score == (999.0 if same else 1.0)
    assert (record.log == ["end 0-explore-0"]) is same
    assert not job().folder.exists()


async def test_sweep_removes_folders_that_nobody_awaits(tmp_path: Path, job: MakeJob) -> None:
    for node in (1, 11):
        leave_result(job(node), job().program)
    await evaluations(tmp_path, PauseGate()).sweep({1: NodeEvaluation()})
    assert [folder.name for folder in (tmp_path / "work").iterdir()] == ["1-explore-0"]


async def test_each_evaluation_leases_a_gpu_and_waits_if_none_is_free(
    tmp_path: Path, job: MakeJob, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(gpus, "list_gpus", lambda: [gpus.Gpu(n, f"GPU-{n}", "card", 1024, False) for n in range(3)])
    gate = PauseGate()
    running = Evaluations(tmp_path / "work", gate, CapacityLimiter(3), executor=LocalExecutor(gpus.Gpus([0, 2])))
    records = [Record(job(node).folder) for node in range(3)]
    tasks = [asyncio.create_task(running.run(job(node), node, records[node])) for node in range(3)]
    await asyncio.gather(records[0].report(), records[1].report())
    assert {records[0].device, records[1].device} == {"GPU-0", "GPU-2"}
    assert not records[2].log
    # While it waits for a GPU, the run is paused: it does not start when one is freed.
    gate.pause()
    go.touch()
    await asyncio.gather(*tasks[:2])
    await asyncio.sleep(0.05)
    assert not records[2].log
    gate.resume()
    await tasks[2]
    assert records[2].device in ("GPU-0", "GPU-2")
    assert [record.outcome.status for record in records if record.outcome] == ["ok"] * 3


def leave_result(job: Job, program: str) -> None:
    """Write what a supervisor leaves that lost its engine."""
    left = {"status": "ok", "score": 999.0, "metrics": {}, "reason": "", "guarantee": "open", "sandbox": "limits"}
    left |= {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 1.0, "stdout": "", "stderr": ""}
    job.folder.mkdir()
    (job.folder / "program.py").write_text(program)
    (job.folder / "outcome.json").write_text(json.dumps(left))


class Losing(LocalExecutor):
    """Loses each evaluation once it has started."""

    records_submissions = True

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        evaluation = await Evaluation.start(job, on_progress)
        evaluation.cancel("its machine dies")
        await evaluation.outcome()
        await evaluation.acknowledge()
        return Lost(evaluation)


class Lost:
    """An evaluation whose machine is gone."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.freeze, self.thaw, self.cancel = evaluation.freeze, evaluation.thaw, evaluation.cancel
        self.acknowledge = evaluation.acknowledge

    async def outcome(self) -> Outcome:
        raise EvaluationLost("alpha", "it is gone")


class Kept(Record):
    """Keep attempts; an earlier engine ended with its ninth one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.attempts: list[int] = []
        self.places: list[str] = []

    def last_submission(self) -> Submission | None:
        return Submission("k", 8)

    async def submitted(self, submission: Submission, executor: str) -> None:
        self.attempts.append(submission.attempt)
        self.places.append(submission.on)

    def placed(self, submission: Submission, host: str) -> None:
        """Nothing: it never is."""

    def lost(self, submission: Submission, loss: EvaluationLost) -> None:
        """Note the loss."""
        self.log.append("lost")

    async def ended(self, outcome: Outcome, curve: Curve) -> None:
        self.outcome = outcome


async def test_attempts_of_earlier_engines_are_no_losses(tmp_path: Path, job: MakeJob) -> None:
    record = Kept(job().folder)
    losing = Evaluations(tmp_path / "work", PauseGate(), CapacityLimiter(1), executor=Losing())
    await losing.run(job(), 1, record, on="alpha")
    assert record.attempts == [9, 10, 11, 12] and record.log.count("lost") == 4
    assert record.places == ["alpha", "", "", ""], "it was tried again on the machine that lost it"
    assert record.outcome is not None and record.outcome.status == "cancelled"
