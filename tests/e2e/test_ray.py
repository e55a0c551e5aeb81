"""Runs on a real Ray cluster of two machines on loopback."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.evaluation.executors.base import EvaluationLost, Submission
from engine.evaluation.executors.ray import RayExecutor
from engine.journal import events as ev
from engine.runs.folder import Run
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from tests.conftest import EVALUATE, SEED, Evolve, TaskMaker
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
)  # fmt: skip
from tests.needs import require
from tests.ray_machines import RayCluster

require("ray", "bubblewrap")

pytestmark = pytest.mark.timeout(1200)

LONG = 240.0
"""Seconds that no step takes, however busy the machine is: Ray starts a process in half a second of its processor."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """The cluster, with the machines alpha and beta of two slots each."""
    # Ray's sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="evolve-ray-"))
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in token.items():
            patch.setenv(name, value)
        made = RayCluster(folder, {"RAY_TMPDIR": str(folder)})
        try:
            for name in ("alpha", "beta"):
                made.add(name)
            yield made
        finally:
            made.close()
            shutil.rmtree(folder, ignore_errors=True)


def progress(run: Run) -> int:
    return len(events(run, ev.EvalProgress))


def wait_for_progress(run: Run) -> None:
    before = progress(run)
    wait_for(lambda: progress(run) > before, "progress", LONG)


def test_run_on_cluster_is_the_run_on_this_machine(make_task: TaskMaker, tmp_path: Path, cluster: RayCluster) -> None:
    task = make_task(evaluate=EVALUATE, guarded=True)
    found = []
    for place, settings in (("ray", {"executor": cluster.settings}), ("local", {})):
        run = make_run(task, tmp_path / place, rounds=40, workers=1, data_seed=1, **settings)
        state = finish(run, timeout=2 * LONG)
        check_integrity(run)
        check_complete(run, 40)
        found.append([(n.program, n.status, n.score, n.metrics, n.operator, n.parents) for n in state.nodes])
        done = [event.data for event in events(run, ev.EvalStageDone)]
        assert all(isinstance(data, ev.EvalStageDone) and data.guarantee == "guarded" for data in done)
        assert {data.host for data in done} <= ({"alpha", "beta"} if place == "ray" else {""})
        assert len(state.machines) == (place == "ray")
        assert not state.submitted
    assert found[0] == found[1]


def test_losses_of_workers_machines_and_engines(waiting: Path, tmp_path: Path, cluster: RayCluster, go: Path) -> None:
    """Whatever dies under an evaluation, it is tried again elsewhere, and its result is there once."""
    run = make_run(waiting, tmp_path / "runs", rounds=0, executor=cluster.settings)
    engine = start_engine(run)

    def submissions() -> list[tuple[str, int]]:
        return [(e.data.key, e.data.attempt) for e in events(run, ev.EvalSubmitted)]  # type: ignore[attr-defined]

    def hosts() -> list[str]:
        return [e.data.host for e in events(run, ev.EvalPlaced)]  # type: ignore[attr-defined]

    def lost() -> list[str]:
        return [e.data.host for e in events(run, ev.EvalLost)]  # type: ignore[attr-defined]

    # The worker that its supervisor belongs to.
    wait_for(lambda: cluster.evaluations() and progress(run), "the evaluation", LONG)
    of_first = cluster.evaluations()
    os.kill(cluster.worker(), signal.SIGKILL)
    wait_for(lambda: len(hosts()) == 2, "another try", LONG)
    assert lost() == hosts()[:1] and hosts()[0] != hosts()[1], "it was tried on the machine that lost it"
    wait_for(lambda: not of_first & cluster.evaluations(), "the end of the first try", LONG)
    wait_for_progress(run)

    # The machine; another one takes its place.
    of_second, dead = cluster.evaluations(), hosts()[1]
    cluster.kill(dead)
    cluster.add("gamma")
    wait_for(lambda: len(hosts()) == 3, "a third try", LONG)
    assert hosts()[2] != dead and lost()[1] == dead
    wait_for(lambda: not of_second & cluster.evaluations(), "the end of the second try", LONG)
    wait_for_progress(run)

    # The engine: nothing of its evaluation is left, and the next engine runs it again.
    assert cluster.evaluations()
    engine.kill()
    # Within five seconds, as one core counts them that does nothing but look: those of a busy machine are longer.
    began = time.thread_time()
    while cluster.evaluations():
        assert time.thread_time() - began < 5.0, "an evaluation outlives its engine"
    engine.wait()
    assert all(Path(f"/proc/{raylet}").exists() for raylet in cluster.raylets.values()), "a machine ended with it"
    engine = start_engine(run)
    wait_for(lambda: len(hosts()) == 4, "the next engine's try", LONG)
    wait_for_progress(run)
    assert len({key for key, _ in submissions()}) == 1
    assert [attempt for _, attempt in submissions()] == [0, 1, 2, 3]

    # The engine again, while it cannot read that the evaluation has ended: the result is not measured twice.
    os.kill(engine.pid, signal.SIGSTOP)
    go.touch()
    wait_for(lambda: list((cluster.scratch / "done").glob(f"*/{submissions()[0][0]}-3")), "its result", LONG)
    engine.kill()
    engine.wait()
    engine = start_engine(run)
    assert engine.wait(LONG) == 0, run.log.read_text()
    assert len(submissions()) == 4
    kept = next((cluster.scratch / "done").glob(f"*/{submissions()[0][0]}-3")).read_text()
    assert fold(run).nodes[0].metrics["mark"] in kept
    check_complete(run, 0)


def test_freeze_cancel_and_slots(waiting: Path, tmp_path: Path, cluster: RayCluster, go: Path) -> None:
    async def scenario() -> None:
        executor = RayExecutor(ExecutorSettings(**cluster.settings), Resources(gpus=0.0))  # type: ignore[arg-type]
        await executor.open()
        try:
            room = executor.slots(None)
            assert executor.slots(1) == 1
            reported = asyncio.Event()
            steps: list[float | None] = []

            def on_progress(step: float | None, values: dict[str, float]) -> None:
                steps.append(step)
                reported.set()

            async def report() -> None:
                reported.clear()
                await asyncio.wait_for(reported.wait(), LONG)

            job = job_of(waiting, tmp_path, go)
            where, hosts = sorted(cluster.raylets)[-1], list[str]()
            submission = Submission("frozen", on=where)
            evaluation = await executor.start(
                job, on_progress, submission, lambda handle, host: hosts.append(host), unread
            )
            await report()
            assert hosts == [where], "it runs elsewhere than on the machine that was asked for"
            evaluation.freeze()
            # It is frozen once a while passes without reports; a busy machine may need some.
            before = -1
            deadline = time.monotonic() + LONG
            while len(steps) != before:
                assert time.monotonic() < deadline, "it goes on"
                before = len(steps)
                await asyncio.sleep(2)
            evaluation.thaw()
            await report()
            evaluation.cancel("enough of it")
            outcome = await asyncio.wait_for(evaluation.outcome(), LONG)
            assert (outcome.status, outcome.reason) == ("cancelled", "enough of it")
            wait_for(lambda: not cluster.evaluations(), "the end of its processes", LONG)
            # One that has not started: there is no room.
            running = [
                await executor.start(job, on_progress, Submission(f"full{n}"), lambda handle, host: None, unread)
                for n in range(room + 1)
            ]
            for one in running:
                one.cancel("enough of them")
            assert {(await asyncio.wait_for(one.outcome(), LONG)).status for one in running} == {"cancelled"}
            cluster.add("delta", 1)
            while executor.slots(None) != room + 1:
                assert time.monotonic() < deadline + LONG, "no slot of the new machine"
                await asyncio.sleep(0.05)
            cluster.kill("delta")
            while executor.slots(None) != room:
                assert time.monotonic() < deadline + 2 * LONG, "the slot of a dead machine"
                await asyncio.sleep(0.05)
        finally:
            await executor.aclose()

    asyncio.run(scenario())


HOSTILE = {
    "memory": "kept = []\n    while True:\n        kept.append(bytearray(1 << 24))",
    "fork": "import os, time\n    while True:\n        os.fork()",
    "parent": "import os, signal\n    for pid in range(1, 70000):\n        try:\n            os.kill(pid, 9)\n"
    "        except OSError:\n            pass\n    os.kill(os.getppid(), 9)\n    os.kill(-1, 9)",
}


def test_hostile_candidates_harm_no_other(make_task: TaskMaker, tmp_path: Path, cluster: RayCluster) -> None:
    """Beside an ordinary evaluation, on machines that go on as if nothing had happened."""

    async def scenario() -> None:
        task = make_task(evaluate=EVALUATE, guarded=True)
        executor = RayExecutor(ExecutorSettings(**cluster.settings), Resources(gpus=0.0))  # type: ignore[arg-type]
        await executor.open()
        try:
            running = {}
            for name, what in {**HOSTILE, "good": None}.items():
                program = SEED if what is None else SEED.replace("    return [left(), right()]", f"    {what}")
                job = job_of(task, tmp_path, None, program=program, seconds=20 if what else 600)
                running[name] = await executor.start(
                    job, lambda s, v: None, Submission(name), lambda h, n: None, unread
                )
            outcomes = {name: await asyncio.wait_for(one.outcome(), LONG) for name, one in running.items()}
        finally:
            await executor.aclose()
        assert outcomes.pop("good").status == "ok"
        assert {outcome.status for outcome in outcomes.values()} <= {"crashed", "timeout", "invalid"}

    before = dict(cluster.raylets)
    asyncio.run(scenario())
    for pid in before.values():
        assert "raylet" in Path(f"/proc/{pid}/cmdline").read_text()


def test_broken_machine_is_told_by_its_fault(tmp_path: Path, make_task: TaskMaker, cluster: RayCluster) -> None:
    """A task that no machine can run is no fault of the program."""

    async def scenario() -> None:
        settings = ExecutorSettings(name="ray", address=cluster.address, scratch="/proc/nowhere")
        executor = RayExecutor(settings, Resources(gpus=0.0))
        await executor.open()
        try:
            job = job_of(make_task(), tmp_path, None)
            evaluation = await executor.start(job, lambda s, v: None, Submission("x"), lambda h, n: None, unread)
            with pytest.raises(EvaluationLost, match="nowhere") as caught:
                await asyncio.wait_for(evaluation.outcome(), LONG)
            assert caught.value.permanent
        finally:
            await executor.aclose()

    asyncio.run(scenario())


def test_doctor_looks_at_each_machine(evolve: Evolve, cluster: RayCluster) -> None:
    told = evolve("doctor", "--executor", "ray", "--address", cluster.address, "--json", timeout=LONG)
    checks = {check["name"]: check for check in told.json}
    assert (checks["cluster"]["state"], checks["token"]["state"]) == ("ok", "ok")
    assert {f"machine {name}" for name in cluster.raylets} < set(checks)
    for name in cluster.raylets:
        assert "bubblewrap" in checks[f"machine {name}"]["found"] and checks[f"machine {name}"]["state"] != "bad"
