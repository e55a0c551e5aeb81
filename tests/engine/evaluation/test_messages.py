"""What a machine of a cluster may send, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EvolveError
from engine.evaluation.evaluator import Job, Outcome
from engine.evaluation.executors import node_files, ray_link, ray_task
from engine.evaluation.executors.base import EvaluationLost, RunningEvaluation, Submission
from engine.evaluation.executors.messages import (
    Done,
    JobMessage,
    OutcomeMessage,
    Request,
    Written,
    decode_item,
    decode_request,
    encode,
    job_of,
    to_outcome,
)
from engine.evaluation.executors.ray import RayExecutor
from engine.evaluation.executors.ray_evaluation import RayEvaluation
from engine.evaluation.executors.ray_link import RayLink
from engine.evaluation.job import Build
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from engine.task.spec import Limits
from tests.needs import require

OUTCOME: dict[str, Any] = {
    "status": "ok", "score": 1.0, "metrics": {"x": 2.0}, "reason": "", "guarantee": "guarded", "sandbox": "bubblewrap",
    "seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 1.0, "stdout": "aGk=", "stderr": "", "built": "", "feedback": "",
    "picture": "{}", "construction": "[1.0]",
}  # fmt: skip


def done(key: str = "k", attempt: int = 0, **changes: Any) -> bytes:
    outcome = {**OUTCOME, **changes}
    return json.dumps({"type": "done", "key": key, "attempt": attempt, "facts": {}, "outcome": outcome}).encode()


def test_outcome_arrives_whole() -> None:
    item = decode_item(done(), 10_000)
    assert isinstance(item, Done)
    outcome = to_outcome(item, "alpha")
    assert (outcome.status, outcome.score, outcome.metrics, outcome.stdout) == ("ok", 1.0, {"x": 2.0}, b"hi")
    assert outcome.place is not None and outcome.place.host == "alpha"


def test_every_field_of_outcome_travels() -> None:
    own = {"place"}  # the engine knows it
    assert {field.name for field in dataclasses.fields(Outcome)} - own == set(OutcomeMessage.__struct_fields__)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80\x04K\x01.", b"null", b'{"type":"other"}', b'{"type":"nothing","more":1}', done() + b" ",
        done(status="wrong"), done(score="1"), done(seconds=None), done(stdout="?"), done(extra=1),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_item(data, len(done()))


def test_message_that_is_nested_too_deeply_is_refused() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_item(done().replace(b"2.0", deep), 1_000_000)


@pytest.mark.parametrize(
    "changes",
    [{"score": None}, {"score": 1e308 * 10}, {"status": "crashed"}, {"seconds": -1.0}, {"status": "rejected"}],
)
def test_what_is_no_outcome_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        to_outcome(_done(changes), "alpha")


def _done(changes: dict[str, Any]) -> Done:
    item = decode_item(done(**changes), 100_000)
    assert isinstance(item, Done)
    return item


def test_metrics_are_reduced_to_what_a_result_may_hold() -> None:
    outcome = to_outcome(_done({"metrics": {"deep": {"a": 1}, "big": 10**400, "text": "a" * 9999}}), "alpha")
    assert outcome.metrics == {"big": None, "text": "a" * 4096}


def make_job(tmp_path: Path) -> Job:
    return Job(
        program="def f():\n    return '\udcff'\n", task_folder=tmp_path, folder=tmp_path / "0-x-0", metric="score",
        guarded=True, gpu=False, python=None, mounts=["a"], stage="explore", repeat=1, seed=5, settings={"a": [1]},
        limits=Limits(seconds=3), threads=1, tree={"a/b": b"\xff"}, built={"c": b"\x00"},
        build=Build(("gcc",), {"h": b"\xfe"}, Limits()),
    )  # fmt: skip


def test_job_arrives_whole(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    request = Request.of(
        job, job.mounts, key="k", attempt=2, engine="e", source="s", task="t", scratch="", config="", environment={}
    )
    told = decode_request(encode(request))
    assert Job(task_folder=job.task_folder, folder=job.folder, **job_of(told.job)) == job
    assert (told.key, told.attempt) == ("k", 2)


def test_every_field_of_job_travels() -> None:
    own = {"task_folder", "folder", "device", "errand"}  # those of the machine; a command runs beside the engine
    assert {field.name for field in dataclasses.fields(Job)} - own == set(JobMessage.__struct_fields__)


class Silent:
    """A cluster that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    def send(self, header: dict[str, object], body: bytes = b"") -> None:
        self.sent.append(header)

    def host_of(self, node: str) -> str:
        return "alpha"

    def forget(self, number: int) -> None:
        pass

    def withdraw(self, number: int) -> None:
        self.sent.append({"do": "withdraw", "id": number})


def make_evaluation(
    cluster: Silent, folder: Path, submission: Submission, printed: list[tuple[str, str, int]] | None = None
) -> RayEvaluation:
    """An attempt of which only the printed text is kept."""
    kept = [] if printed is None else printed
    return RayEvaluation(
        cluster,
        make_job(folder),
        submission,
        lambda step, values: None,
        lambda handle, host: None,
        lambda stream, text, left_out: kept.append((stream, text, left_out)),
    )


async def test_text_printed_on_another_machine_is_passed_on(tmp_path: Path) -> None:
    printed: list[tuple[str, str, int]] = []
    evaluation = make_evaluation(Silent(), tmp_path, Submission("k", 1), printed)
    evaluation.take({"type": "item"}, encode(Written("stderr", "step 3: é\n", 12)))
    assert printed == [("stderr", "step 3: é\n", 12)]
    evaluation.take({"type": "item"}, encode(Written("stdout", "", 0)).replace(b"stdout", b"stdin"))
    with pytest.raises(EvaluationLost, match="sent"):
        await evaluation.outcome()


async def test_result_of_earlier_attempt_is_refused(tmp_path: Path) -> None:
    evaluation = make_evaluation(Silent(), tmp_path, Submission("k", 1))
    evaluation.take({"type": "item"}, done("k", 0))
    with pytest.raises(EvaluationLost, match="another attempt"):
        await evaluation.outcome()
    evaluation.take({"type": "item"}, done("k", 1))
    with pytest.raises(EvaluationLost):
        await evaluation.outcome()


async def test_evaluation_that_never_started_is_withdrawn(tmp_path: Path) -> None:
    cluster = Silent()
    evaluation = make_evaluation(cluster, tmp_path, Submission("k"))
    evaluation.cancel("enough")
    assert cluster.sent == [{"do": "withdraw", "id": 0}]
    evaluation.take({"type": "lost", "message": "it was cancelled"}, b"")
    outcome = await evaluation.outcome()
    assert (outcome.status, outcome.reason) == ("cancelled", "enough")


BRIDGE = """
import json, pathlib, socket, sys
sys.path.insert(0, sys.argv[1])
from engine.evaluation.supervisor.frames import pack

def receive():
    size = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "big")
    head, _, body = link.recv(size, socket.MSG_WAITALL).partition(b"\\n")
    return json.loads(head), body

link = socket.socket(fileno=0)
receive()
link.sendall(pack({"type": "open", "nodes": [], "token": False}))
while True:
    header, body = receive()
    if header["do"] == "run":
        if not pathlib.Path("@GO@").exists():
            sys.exit()
        link.sendall(pack({"type": "item", "id": header["id"]}, b'@DONE@'))
"""
"""A driver whose cluster is lost with each evaluation, until a file appears; then it has an outcome for each."""


async def test_evaluations_wait_while_the_cluster_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    code = BRIDGE.replace("@GO@", str(go)).replace("@DONE@", done("k", 1).decode())
    monkeypatch.setattr(ray_link, "_BRIDGE", code)
    job = dataclasses.replace(make_job(tmp_path / "task"), program="")
    job.task_folder.mkdir()
    executor = RayExecutor(ExecutorSettings(name="ray"), Resources(gpus=0.0))

    async def start(attempt: int) -> RunningEvaluation:
        submission = Submission("k", attempt)
        return await executor.start(
            job, lambda step, values: None, submission, lambda handle, host: None, lambda stream, text, left_out: None
        )

    await executor.open()
    try:
        with pytest.raises(EvaluationLost, match="connection"):
            await (await start(0)).outcome()
        # While there is no connection nothing more is lost, and what is not wanted any longer does not wait.
        kept, other = await start(1), await start(2)
        other.cancel("enough")
        assert (await other.outcome()).reason == "enough"
        go.touch()
        assert (await kept.outcome()).score == 1.0
    finally:
        await executor.aclose()


@pytest.mark.parametrize(
    ("resources", "total", "fit"),
    [
        (Resources(gpus=0.0), {"CPU": 4.0}, 4),
        (Resources(cpus=0.1, gpus=0.0), {"CPU": 1.0}, 10),
        (Resources(gpus=1.0), {"CPU": 4.0}, 0),
        (Resources(gpus=0.5), {"CPU": 4.0, "GPU": 1.0}, 2),
        (Resources(cpus=2, gpus=0.0, custom={"disk": 1.0}), {"CPU": 8.0, "disk": 3.0}, 3),
        (Resources(gpus=0.0), {}, 0),
    ],
)
def test_slots_of_machine_are_what_fits(resources: Resources, total: dict[str, float], fit: int) -> None:
    assert resources.fit(total) == fit


def test_bridge_unpickles_nothing() -> None:
    """Neither a value nor an exception of a task is unpickled in the process that asks Ray for it."""
    require("ray")
    code = """
import pickle
from ray import cloudpickle, exceptions
from ray._private.serialization import SerializationContext
from engine.evaluation.executors.ray_bridge import _refuse_pickles
from ray._private.worker import global_worker

class Evil:
    def __reduce__(self):
        return print, ("RAN",)

context = SerializationContext(global_worker)
made = context.serialize(Evil())
plain = context.serialize(b"bytes")
_refuse_pickles()

class Buffer(bytes):
    def to_pybytes(self):
        return bytes(self)

sent = [(Buffer(made.to_bytes()), made.metadata, None), (Buffer(b"bytes"), plain.metadata, None)]
found = context.deserialize_objects(sent, [None] * 2, {})
print(type(found[0]).__name__, found[1])
try:
    exceptions.RayError.from_bytes(b"")
except TypeError as exc:
    print(exc)
"""
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout.split("\n")[:2] == ["RaySystemError b'bytes'", "a pickled value was refused"], said.stderr


def test_configuration_of_worker_is_kept_while_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("EVOLVE_HOME", "")
    (tmp_path / "blobs" / "source").mkdir(parents=True)
    request = {"scratch": str(tmp_path), "source": "source", "task": "", "config": "# of a person", "environment": {}}
    ray_task._hand_over(json.dumps(request).encode(), {})
    home = Path(os.environ["EVOLVE_HOME"])
    os.utime(home, (1, 1))
    _, root, _ = ray_task._hand_over(json.dumps(request).encode(), {})
    monkeypatch.setattr(node_files, "_swept", float("-inf"))
    node_files.sweep(Path(root), "engine")
    assert (home / "config.toml").read_text() == "# of a person"


async def test_cluster_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening, so that nothing answers
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EvolveError, match=f"no Ray cluster at {address}"):
            await RayLink.open(address, {})
