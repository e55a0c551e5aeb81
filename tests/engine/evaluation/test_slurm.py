"""The executor for SLURM, as far as it needs no cluster: options, losses, signatures, and commands that stand in."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EvolveError
from engine.evaluation import evaluator
from engine.evaluation.evaluator import Outcome
from engine.evaluation.executors import slurm_commands
from engine.evaluation.executors.base import EndedEvaluation, EvaluationLost, RunningEvaluation, Submission
from engine.evaluation.executors.messages import Done, OutcomeMessage, Progressed, Started, encode
from engine.evaluation.executors.slurm import SlurmExecutor
from engine.evaluation.executors.slurm_commands import Job
from engine.evaluation.executors.slurm_evaluation import SlurmEvaluation
from engine.evaluation.executors.slurm_files import RESULT, Seen, sign
from engine.evaluation.executors.slurm_room import check_room
from engine.journal import events as ev
from engine.journal.database import send_command
from engine.runs.reach import reach_of_settings
from engine.settings.executor import ExecutorSettings
from engine.settings.model import Settings
from engine.task.resources import Resources
from tests.conftest import EVALUATE, TaskMaker
from tests.e2e.runs import HELD, events, fold, job_of, let_go, make_run, start_engine, unread, wait_for

KEY = b"k" * 32
_OWN = secrets.token_hex(8)
QUICK_KEY, HELD_KEY = f"x-{_OWN}", f"held-{_OWN}"
"""Of submissions: machines work in a folder that this process shares with other tests' processes."""
DEVICE = 'def evaluate(path, report):\n    report(1, loss=2.0)\n    return {"score": 1.0, "device": report.device}\n'


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands that stand in for SLURM's, and the folder of what they know."""
    commands, folder = tmp_path / "bin", tmp_path / "stub"
    commands.mkdir()
    folder.mkdir()
    (folder / "machines").write_text(
        "gamma|8|mixed|main*|gpu:a100:2(S:0-1),shard:a100:8(S:0-1)\ndelta|8|down*|main*|\n"
    )
    script = Path(__file__).parents[2] / "slurm_stub.py"
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        program = commands / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-S", str(script), name])} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    monkeypatch.setenv("SBATCH_STUB", str(folder))
    return folder


def executor_of(tmp_path: Path, resources: Resources | None = None, shared: str = "shared") -> SlurmExecutor:
    settings = ExecutorSettings(name="slurm", scratch=str(tmp_path / shared), poll_seconds=0.2)
    return SlurmExecutor(settings, resources or Resources(gpus=0.0), False, lambda: KEY)


def jobs(stub: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(stub.glob("job-*.json"))]


async def test_gpu_is_asked_for_and_its_device_used(stub: Path, tmp_path: Path, make_task: TaskMaker) -> None:
    executor = executor_of(tmp_path, Resources(cpus=2.5, gpus=1.0))
    await executor.open()
    try:
        (machine,) = executor.machines
        assert (machine.name, machine.slots) == ("gamma", 2)
        job = replace(job_of(make_task(evaluate=DEVICE), tmp_path, None), gpu=True, guarded=False)
        where: list[str] = []
        evaluation = await executor.start(
            job, lambda s, v: None, Submission(QUICK_KEY), lambda h, n: where.append(n), unread
        )
        outcome = await asyncio.wait_for(evaluation.outcome(), 90)
        await evaluation.acknowledge()
    finally:
        await executor.aclose()
    assert (outcome.status, outcome.metrics) == ("ok", {"device": "5"}), outcome.reason
    assert outcome.place is not None and outcome.place.host == "gamma" and where == ["", "gamma"]
    (submitted,) = jobs(stub)
    assert {"--cpus-per-task=3", "--gres=gpu:1", "--mem=768M"} <= set(submitted["arguments"])
    shared = tmp_path / "shared"
    assert not [*(shared / "jobs").iterdir(), *(shared / "out").iterdir()]


async def test_job_whose_submission_got_no_answer_runs_once(
    stub: Path, tmp_path: Path, make_task: TaskMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    executor = executor_of(tmp_path)
    await executor.open()
    try:
        (stub / "lose").touch()
        job = job_of(make_task(evaluate=EVALUATE), tmp_path, None)
        submission = Submission("x", on="gamma")
        evaluation = await executor.start(job, lambda s, v: None, submission, lambda h, n: None, unread)
        assert (await asyncio.wait_for(evaluation.outcome(), 90)).status == "ok"
    finally:
        await executor.aclose()
    (submitted,) = jobs(stub)
    assert "--nodelist=gamma" in submitted["arguments"]
    assert "Socket timed out" in capfd.readouterr().err


async def test_job_is_not_submitted_again_before_the_queue_is_known(
    stub: Path, tmp_path: Path, make_task: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.evaluation.executors.slurm._RETRY_SECONDS", (0.1,))
    executor = executor_of(tmp_path)
    await executor.open()
    try:
        for name in ("lose", "mute"):
            (stub / name).touch()
        job = job_of(make_task(evaluate=EVALUATE), tmp_path, None)
        evaluation = await executor.start(job, lambda s, v: None, Submission(QUICK_KEY), lambda h, n: None, unread)
        assert (await asyncio.wait_for(evaluation.outcome(), 90)).status == "ok"
    finally:
        await executor.aclose()
    assert len(jobs(stub)) == 1


async def begin_held(executor: SlurmExecutor, task: Path, tmp_path: Path) -> tuple[evaluator.Job, RunningEvaluation]:
    """Start an evaluation that does not end by itself, and wait until it reports."""
    reported = asyncio.Event()
    job = replace(job_of(task, tmp_path, None), guarded=False)
    running = await executor.start(job, lambda s, v: reported.set(), Submission(HELD_KEY), lambda h, n: None, unread)
    await asyncio.wait_for(reported.wait(), 90)
    return job, running


def has_ended(stub: Path, which: int = 0) -> bool:
    """Tell whether the process of a job is gone."""
    return not Path(f"/proc/{jobs(stub)[which]['pid']}").exists()


async def test_what_was_cancelled_just_before_the_end_is_cancelled(
    stub: Path, tmp_path: Path, make_task: TaskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cancel = asyncio.Event(), slurm_commands.cancel

    async def cancel_and_tell(ids: list[str]) -> None:
        begun.set()
        await cancel(ids)

    monkeypatch.setattr(slurm_commands, "cancel", cancel_and_tell)
    executor = executor_of(tmp_path)
    await executor.open()
    try:
        _, evaluation = await begin_held(executor, make_task(evaluate=HELD, seconds=200), tmp_path)
        evaluation.cancel("enough")
        await asyncio.wait_for(begun.wait(), 90)
    finally:
        await executor.aclose()
    await asyncio.to_thread(wait_for, lambda: has_ended(stub), "the end of the job")
    shared = tmp_path / "shared"
    assert not [*(shared / "jobs").iterdir(), *(shared / "out").iterdir()]


async def test_cluster_without_room_is_refused(stub: Path, tmp_path: Path) -> None:
    with pytest.raises(EvolveError, match=r"default partition is large enough .* 9 cores; gamma has 8 cores and 2 GPU"):
        await executor_of(tmp_path, Resources(cpus=9, gpus=0.0)).open()
    with pytest.raises(EvolveError, match=r"takes 1 cores, 3 GPUs, 1 disk"):
        await executor_of(tmp_path, Resources(gpus=3.0, custom={"disk": 1})).open()
    (stub / "machines").write_text("delta|8|down*|main*|\n")
    with pytest.raises(EvolveError, match="no machine that is up in the default partition"):
        await executor_of(tmp_path).open()
    # Here SLURM alone knows what fits.
    check_room([], Resources(cpus=9), "", ["--account=lab", "--cpus-per-task=1"])


async def test_results_arrive_while_scancel_hangs(stub: Path, tmp_path: Path, make_task: TaskMaker) -> None:
    executor = executor_of(tmp_path)
    await executor.open()
    try:
        _, held = await begin_held(executor, make_task("held", evaluate=HELD, seconds=200), tmp_path)
        (stub / "hang").touch()
        held.cancel("enough")
        job = job_of(make_task(evaluate=EVALUATE), tmp_path, None)
        evaluation = await executor.start(job, lambda s, v: None, Submission(QUICK_KEY), lambda h, n: None, unread)
        # Less than the time after which scancel is given up.
        assert (await asyncio.wait_for(evaluation.outcome(), 50)).status == "ok"
    finally:
        (stub / "hang").unlink()
        await executor.aclose()
    await asyncio.to_thread(wait_for, lambda: has_ended(stub), "the end of the job")


async def test_what_a_dead_engine_froze_goes_on(stub: Path, tmp_path: Path, make_task: TaskMaker) -> None:
    dead, following = executor_of(tmp_path), executor_of(tmp_path)
    orders = tmp_path / "shared" / "jobs" / f"{HELD_KEY}-0" / "orders"
    await dead.open()
    job, running = await begin_held(dead, make_task(evaluate=HELD, seconds=200), tmp_path)
    running.freeze()
    await asyncio.to_thread(wait_for, orders.exists, "the order")
    for task in dead._beside:
        task.cancel()
    await asyncio.wait(dead._beside)
    await following.open()
    try:
        adopted = await following.adopt(job, Submission(HELD_KEY), lambda s, v: None, lambda h, n: None, unread)
        assert adopted is not None and not isinstance(adopted, EndedEvaluation)
        await asyncio.to_thread(wait_for, lambda: orders.read_text() == "freeze\nthaw\n", "the other order")
    finally:
        await following.aclose()
    await asyncio.to_thread(wait_for, lambda: has_ended(stub), "the end of the job")


async def test_run_that_goes_on_elsewhere_leaves_no_job(stub: Path, tmp_path: Path, make_task: TaskMaker) -> None:
    """Neither if it evaluates on its own machine from now on, nor if it shares another folder."""
    dead, following = executor_of(tmp_path), executor_of(tmp_path, shared="other")
    await dead.open()
    job, _ = await begin_held(dead, make_task(evaluate=HELD, seconds=200), tmp_path)
    for task in dead._beside:
        task.cancel()
    await asyncio.wait(dead._beside)
    await following.open()
    try:
        assert await following.adopt(job, Submission(HELD_KEY), lambda s, v: None, lambda h, n: None, unread) is None
    finally:
        await following.aclose()
    await asyncio.to_thread(wait_for, lambda: has_ended(stub), "the end of the job")

    place = {"name": "slurm", "scratch": str(tmp_path / "shared"), "poll_seconds": 0.2}
    run = make_run(make_task("held", evaluate=HELD, seconds=200), tmp_path / "runs", rounds=0, executor=place)
    engine = start_engine(run)
    await asyncio.to_thread(wait_for, lambda: events(run, ev.EvalProgress), "the evaluation")
    engine.kill()
    engine.wait()
    send_command(run.db, "set", {"settings": {"executor": {"name": "local"}}})
    engine = start_engine(run)
    await asyncio.to_thread(wait_for, lambda: len(events(run, ev.EvalProgress)) > 1, "the evaluation here")
    let_go(run)
    assert await asyncio.to_thread(engine.wait, 90) == 0, run.log.read_text()
    await asyncio.to_thread(wait_for, lambda: has_ended(stub, 1), "the end of the other job")
    *_, told = [event.data.missing for event in events(run, ev.EngineStarted)]  # type: ignore[attr-defined]
    assert (
        len(told) == 1 and "1 evaluation on SLURM, measured anew" in told[0] and "are cancelled: evolve-0-" in told[0]
    )
    state = fold(run)
    assert state.nodes[0].score == 1.0 and not state.submitted


async def test_result_is_adopted_with_its_curve_and_only_under_the_key_of_the_run(
    stub: Path, tmp_path: Path, make_task: TaskMaker
) -> None:
    executor, submission = executor_of(tmp_path), Submission(QUICK_KEY)
    job = replace(job_of(make_task(evaluate=DEVICE), tmp_path, None), guarded=False)
    await executor.open()
    try:
        await executor.start(job, lambda s, v: None, submission, lambda h, n: None, unread)
        out = tmp_path / "shared" / "out" / f"{QUICK_KEY}-0"
        # Before the engine looks: it is as good as dead.
        await asyncio.to_thread(wait_for, out.exists, "the result")
        kept = {path: path.read_bytes() for path in (out, out.parents[1] / "jobs" / f"{QUICK_KEY}-0" / "progress")}
    finally:
        await executor.aclose()

    async def adopt(key: bytes) -> tuple[Outcome | None, list[dict[str, float]]]:
        for path, content in kept.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        following = SlurmExecutor(executor._settings, Resources(gpus=0.0), False, lambda: key)
        reports: list[dict[str, float]] = []
        await following.open()
        try:
            found = await following.adopt(job, submission, lambda s, v: reports.append(v), lambda h, n: None, unread)
            assert found is None or isinstance(found, EndedEvaluation)
            return (await found.outcome() if found is not None else None), reports
        finally:
            await following.aclose()

    outcome, reports = await adopt(KEY)
    assert outcome is not None and outcome.score == 1.0 and reports == [{"loss": 2.0}]
    assert await adopt(b"z" * 32) == (None, [])


class Queue:
    """Notes what an evaluation asks for."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.cancelled: list[str] = []
        self.released: list[str] = []

    def order(self, name: str, line: str) -> None:
        self.orders.append(line)

    def cancel(self, id_: str) -> None:
        self.cancelled.append(id_)

    def forget(self, name: str) -> None:
        pass

    def release(self, name: str) -> None:
        self.released.append(name)

    def log(self, name: str) -> str:
        return "python: not found"


def evaluation_of(tmp_path: Path, queue: Queue) -> SlurmEvaluation:
    made = SlurmEvaluation(
        queue, KEY, job_of(tmp_path, tmp_path, None), Submission("x", 2), lambda s, v: None, lambda h, n: None, unread
    )
    made.submitted("7")
    return made


DONE = encode(Done("x", 2, {"cpu": "fast"}, OutcomeMessage(
    "ok", 1.0, {}, "", "guarded", "bubblewrap", 1.0, 1.0, 1.0, b"", b"", "", "",
)))  # fmt: skip
STARTED = sign(KEY, "0", encode(Started("x", 2, "gamma", ""))) + b"\n"


@pytest.mark.parametrize(
    ("progress", "result", "why"),
    [
        (STARTED, sign(b"z" * 32, RESULT, DONE), "not signed"),
        (STARTED, sign(KEY, "0", DONE), "not signed"),
        (STARTED, DONE, "not signed"),
        (STARTED, sign(KEY, RESULT, DONE.replace(b'"attempt":2', b'"attempt":1')), "another attempt"),
        (STARTED, sign(KEY, RESULT, encode(Progressed([]))), "without an outcome"),
        (STARTED + STARTED, None, "not signed"),
        (b"x" * ((1 << 20) + 1), None, "a line without an end"),
        (STARTED, b"x" * (1 << 30), "above the limit"),
    ],
    ids=["other key", "other label", "no signature", "earlier attempt", "no result", "repeated", "endless", "huge"],
)
async def test_what_is_not_from_the_machine_is_no_result(
    tmp_path: Path, progress: bytes, result: bytes | None, why: str
) -> None:
    queue = Queue()
    evaluation = evaluation_of(tmp_path, queue)
    evaluation.take(Seen(progress, result))
    with pytest.raises(EvaluationLost, match=why):
        await evaluation.outcome()
    assert queue.released == ["x-2"]
    good = evaluation_of(tmp_path, Queue())
    good.take(Seen(STARTED[:50], None))
    good.take(Seen(STARTED[50:], sign(KEY, RESULT, DONE)))
    assert (await good.outcome()).score == 1.0


@pytest.mark.parametrize(
    ("state", "reason", "told", "permanent"),
    [
        ("NODE_FAIL", "None", "its job ended as NODE_FAIL: python: not found", False),
        ("FAILED", "NonZeroExitCode", "its job ended as FAILED: python: not found", True),
        ("PENDING", "launch failed requeued held", "could not start it: launch failed", False),
        ("", "", "its job is gone from SLURM's queue", False),
    ],
)
async def test_job_that_ends_without_a_result_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, reason: str, told: str, permanent: bool
) -> None:
    evaluation = evaluation_of(tmp_path, Queue())
    for waiting in ("PENDING", "RUNNING", "COMPLETING"):
        evaluation.look_at(Job("7", waiting, "gamma", "Resources", "evolve-x-2"))
    job = Job("7", state, "gamma", reason, "evolve-x-2") if state else None
    evaluation.look_at(job)
    # Its result may show up a little later than its end.
    monkeypatch.setattr(evaluation, "_ended_at", float("-inf"))
    evaluation.look_at(job)
    with pytest.raises(EvaluationLost, match=told) as lost:
        await evaluation.outcome()
    assert lost.value.permanent is permanent and lost.value.node == ("gamma" if state else "")


async def test_orders_and_cancel_before_the_job_is_known(tmp_path: Path) -> None:
    queue = Queue()
    evaluation = SlurmEvaluation(
        queue, KEY, job_of(tmp_path, tmp_path, None), Submission("x", 2), lambda s, v: None, lambda h, n: None, unread
    )
    evaluation.freeze()
    evaluation.thaw()
    evaluation.cancel("enough")
    evaluation.submitted("9")
    assert (queue.orders, queue.cancelled) == (["freeze", "thaw"], ["9"])
    assert (await evaluation.outcome()).reason == "enough"


async def test_machines_and_jobs_are_read_from_what_slurm_says(stub: Path) -> None:
    (stub / "machines").write_text(
        "alpha|64|idle|main*|gpu:4\nalpha|64|idle|long|gpu:4\nbeta|16+|alloc|main*|(null)\n"
        "gamma|8|mixed-|main*|gpu:a100:2(S:0,1),gpu:t4:1,shard:8\ndelta|8|drained|main*|gpu:1\nodd line\n"
    )
    found = await slurm_commands.list_machines("")
    assert {name: total.get("GPU", 0.0) for name, total in found.items()} == {"alpha": 4.0, "gamma": 3.0}
    assert found["gamma"] == {"CPU": 8.0, "GPU": 3.0, "gpu": 3.0, "gpu:a100": 2.0, "gpu:t4": 1.0, "shard": 8.0}


async def test_survey_that_cannot_write_tells_why(stub: Path, tmp_path: Path) -> None:
    executor = executor_of(tmp_path)
    await executor.open()
    try:
        shared = tmp_path / "shared" / "jobs"
        shared.rmdir()
        shared.touch()
        assert "jobs/survey-" in (told := str(await executor.survey(90))) and told.endswith("Not a directory")
    finally:
        await executor.aclose()


def test_run_from_elsewhere_asks_before_it_submits_anything() -> None:
    settings = Settings(executor=ExecutorSettings(name="slurm", options=["--account=other"]))
    (asked,) = reach_of_settings(settings, ())
    assert asked == "it submits its programs to a slurm cluster, by --account=other"
    own = {"executor": {"name": "slurm", "options": ["--account=other"]}}
    assert not list(reach_of_settings(settings, (("config.toml", own),)))


def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in ({"options": ["gpu"]}, {"python": "python3"}, {"poll_seconds": 0.0}, {"scratch": "relative"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ExecutorSettings(name="slurm", **wrong)  # type: ignore[arg-type]
