"""Runs on a real SLURM cluster of two machines on loopback."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.doctor_slurm import check_slurm
from engine.errors import EvolveError
from engine.evaluation.executors.base import Submission
from engine.evaluation.executors.slurm import SlurmExecutor
from engine.journal import events as ev
from engine.runs.folder import Run
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from tests.conftest import EVALUATE, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    job_of,
    make_run,
    start_engine,
    unread,
    wait_for,
)
from tests.needs import require
from tests.slurm_cluster import SlurmCluster, slurm_cluster

require("slurmctld", "slurmd", "sbatch", "bubblewrap")

SHARED = "shared by all é %j"
"""A name that a shell would take apart, and in which sbatch would put the number of a job."""
LONG = 180.0
"""Seconds that no step takes, however busy the machine is."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """The cluster, with the machines alpha and beta of two cores each."""
    folder = Path(tempfile.mkdtemp(prefix="evolve-slurm-"))
    try:
        with slurm_cluster(folder, "alpha", "beta") as made, pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(made.config))
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path, cluster: SlurmCluster) -> dict[str, object]:
    """What a run's settings say of the cluster."""
    return {"name": "slurm", "scratch": str(tmp_path / SHARED), "poll_seconds": 0.5}


def test_run_on_cluster_is_the_run_on_this_machine(make_task: TaskMaker, tmp_path: Path, place: object) -> None:
    task = make_task(evaluate=EVALUATE, guarded=True)
    found = []
    for name, settings in (("slurm", {"executor": place}), ("local", {})):
        run = make_run(task, tmp_path / name, rounds=3, workers=1, data_seed=1, **settings)
        state = finish(run, timeout=LONG)
        check_integrity(run)
        check_complete(run, 3)
        found.append([(n.program, n.status, n.score, n.metrics, n.operator, n.parents) for n in state.nodes])
        done = [event.data for event in events(run, ev.EvalStageDone)]
        assert all(isinstance(data, ev.EvalStageDone) and data.guarantee == "guarded" for data in done)
        assert {data.host for data in done} <= ({"alpha", "beta"} if name == "slurm" else {""})
        assert not state.submitted
        assert {machine.cores for machine in state.cluster.values()} == ({2.0} if name == "slurm" else set())
    assert found[0] == found[1]
    shared = tmp_path / SHARED
    wait_for(lambda: not [*(shared / "jobs").iterdir(), *(shared / "out").iterdir()], "the end of all files")


def submissions(run: Run) -> list[tuple[str, int]]:
    return [(e.data.key, e.data.attempt) for e in events(run, ev.EvalSubmitted)]  # type: ignore[attr-defined]


def places(run: Run) -> list[tuple[str, str]]:
    """Return the job and the machine of each evaluation that has started."""
    return [(e.data.handle, e.data.host) for e in events(run, ev.EvalPlaced) if e.data.host]  # type: ignore[attr-defined]


def progress(run: Run) -> int:
    return len(events(run, ev.EvalProgress))


def wait_for_progress(run: Run) -> None:
    before = progress(run)
    wait_for(lambda: progress(run) > before, "progress", LONG)


def test_losses_of_machines_controllers_and_engines(
    waiting: Path, tmp_path: Path, cluster: SlurmCluster, place: dict[str, object], go: Path
) -> None:
    """Whatever dies, each result is there once; an evaluation outlives its engine."""
    run = make_run(waiting, tmp_path / "runs", rounds=0, executor=place)
    engine = start_engine(run)
    wait_for(lambda: progress(run), "the evaluation", LONG)

    # The machine: it is tried on the other one.
    dead = places(run)[0][1]
    cluster.kill(dead)
    wait_for(lambda: len(places(run)) == 2, "another try", LONG)
    (lost,) = [event.data for event in events(run, ev.EvalLost)]
    assert isinstance(lost, ev.EvalLost) and lost.host == dead and "NODE_FAIL" in lost.reason
    assert places(run)[1][1] != dead
    wait_for_progress(run)

    # The controller: nothing is lost while it is away.
    cluster.stop_controller()
    wait_for_progress(run)
    cluster.start_controller()
    cluster.start(dead)

    # The engine: its job goes on, and the next engine waits for that.
    engine.kill()
    engine.wait()
    engine = start_engine(run)
    wait_for(lambda: len(places(run)) == 3, "the next engine", LONG)
    assert places(run)[2] == places(run)[1]
    wait_for_progress(run)

    # The engine again, and the evaluation ends while there is none: nothing is measured twice.
    engine.kill()
    engine.wait()
    go.touch()
    shared = Path(str(place["scratch"]))
    wait_for(lambda: [path for path in (shared / "out").iterdir() if not path.name.startswith(".")], "its result", LONG)
    assert start_engine(run).wait(LONG) == 0, run.log.read_text()
    assert [attempt for _, attempt in submissions(run)] == [0, 1]
    assert len({key for key, _ in submissions(run)}) == 1
    state = fold(run)
    assert state.nodes[0].score == 1.0 and state.losses == {dead: 1}
    check_complete(run, 0)


def executor_of(place: dict[str, object]) -> SlurmExecutor:
    return SlurmExecutor(ExecutorSettings(**place), Resources(gpus=0.0), False, lambda: b"k" * 32)  # type: ignore[arg-type]


def test_freeze_cancel_and_stop(
    waiting: Path, tmp_path: Path, cluster: SlurmCluster, place: dict[str, object], go: Path
) -> None:
    async def scenario() -> None:
        executor = executor_of(place)
        await executor.open()
        try:
            assert [(machine.name, machine.slots) for machine in executor.machines] == [("alpha", 2), ("beta", 2)]
            assert (executor.slots(None), executor.slots(7)) == (4, 7)
            steps: list[float | None] = []
            reported = asyncio.Event()

            def on_progress(step: float | None, values: dict[str, float]) -> None:
                steps.append(step)
                reported.set()

            async def report() -> None:
                reported.clear()
                await asyncio.wait_for(reported.wait(), LONG)

            job = job_of(waiting, tmp_path, go)
            evaluation = await executor.start(job, on_progress, Submission("frozen"), lambda handle, host: None, unread)
            await report()
            evaluation.freeze()
            # It is frozen once a while passes without reports; a busy machine may need some.
            before = -1
            async with asyncio.timeout(LONG):
                while len(steps) != before:
                    before = len(steps)
                    await asyncio.sleep(1.5)
            evaluation.thaw()
            await report()
            assert steps == sorted(steps, key=lambda step: step or 0), "reports out of order"
            evaluation.cancel("enough of it")
            outcome = await asyncio.wait_for(evaluation.outcome(), LONG)
            assert (outcome.status, outcome.reason) == ("cancelled", "enough of it")
            # What still runs when the engine ends, ends with it.
            await executor.start(job, on_progress, Submission("left"), lambda handle, host: None, unread)
            await report()
        finally:
            await executor.aclose()

    asyncio.run(scenario())
    wait_for(lambda: not cluster.ask("squeue", "-h", "-t", "running,pending,completing"), "the end of all jobs", LONG)


def test_refusal_is_told(make_task: TaskMaker, tmp_path: Path, place: dict[str, object]) -> None:
    async def scenario() -> None:
        executor = executor_of({**place, "options": ["--qos=nobody", "--time=0:1:x"]})
        await executor.open()
        try:
            job = job_of(make_task(), tmp_path, None)
            evaluation = await executor.start(job, lambda s, v: None, Submission("x"), lambda h, n: None, unread)
            with pytest.raises(EvolveError, match=r"'sbatch' says: .*[Ii]nvalid"):
                await asyncio.wait_for(evaluation.outcome(), LONG)
        finally:
            await executor.aclose()

    asyncio.run(scenario())


def test_doctor_runs_a_job(cluster: SlurmCluster, place: dict[str, object]) -> None:
    told = asyncio.run(check_slurm(ExecutorSettings(**place)))  # type: ignore[arg-type]
    checks = {check.name: check for check in told}
    assert checks["cluster"].state == "ok" and "2 machines, 4 cores" in checks["cluster"].found
    assert checks["machine of a job"].state != "bad" and "bubblewrap" in checks["machine of a job"].found
