"""Run evaluations on a machine of a cluster, in a Ray worker. A machine gets this file from the engine as a blob.

The worker starts the same supervisor as an engine does. No code of a task or a candidate runs in the worker itself, so
that it serves one evaluation after another: what they are forked from stays warm.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import EvolveError
from engine.evaluation.evaluator import Evaluation, Job, Outcome, recover
from engine.evaluation.executors.messages import (
    Done,
    Fault,
    Item,
    NothingKept,
    OutcomeMessage,
    Progressed,
    Request,
    Started,
    Written,
    decode_item,
    decode_request,
    encode,
    job_of,
)  # fmt: skip
from engine.evaluation.executors.node_facts import facts_of, survey
from engine.evaluation.executors.node_files import keep_young, sweep
from engine.evaluation.supervisor.folders import remove_tree

__all__ = ["evaluate", "recall", "survey"]

_MOST_DONE = 1 << 30

_loop: asyncio.AbstractEventLoop | None = None


def evaluate(data: bytes, root: str, task: str) -> Iterator[bytes]:
    """Run an evaluation; yield its messages, the last of which is `Done` or `Fault`.

    Args:
        data: the request.
        root: the folder to work in.
        task: the folder with the task's files.
    """
    global _loop
    _loop = _loop or asyncio.new_event_loop()
    request = decode_request(data)
    sweep(Path(root), request.engine)
    queue: asyncio.Queue[Item | None] = asyncio.Queue()
    running = _loop.create_task(_run(request, Path(root), Path(task), queue))
    try:
        while (item := _loop.run_until_complete(queue.get())) is not None:
            yield encode(item)
    finally:
        # The engine has gone, or Ray has: the evaluation ends with them.
        running.cancel()
        _loop.run_until_complete(asyncio.wait([running]))


async def _run(request: Request, root: Path, task: Path, queue: asyncio.Queue[Item | None]) -> None:
    folder = root / "work" / f"{request.key}-{request.attempt}"
    orders = root / "orders" / folder.name
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "") if request.job.gpu else ""
    job = Job(task_folder=task, folder=folder, device=device, **job_of(request.job))
    facts = dict(facts_of(job.python, job.gpu))
    used = [folder, orders, task, root / "blobs" / request.source, root / "home" / str(os.getpid())]
    young = asyncio.create_task(keep_young(used))
    try:
        for above in (folder.parent, orders.parent):
            above.mkdir(mode=0o700, exist_ok=True)
        orders.unlink(missing_ok=True)
        os.mkfifo(orders, 0o600)
        with _Orders(orders) as pipe:
            queue.put_nowait(Started(request.key, request.attempt, _node_id(), str(orders)))
            evaluation = await Evaluation.start(
                job,
                lambda step, values: queue.put_nowait(Progressed([(step, values)])),
                lambda stream, text, left_out: queue.put_nowait(Written(stream, text, left_out)),
            )
            pipe.follow(evaluation)
            outcome = await _wait(evaluation)
        done = Done(request.key, request.attempt, facts, OutcomeMessage.of(outcome))
        if outcome.status != "cancelled" and not job.is_build:
            _keep(root, request, encode(done))
        queue.put_nowait(done)
        await evaluation.acknowledge()
    except EvolveError as exc:
        queue.put_nowait(Fault(str(exc)))
    except OSError as exc:
        queue.put_nowait(Fault(f"{exc.filename or folder}: {exc.strerror}"))
    except Exception as exc:  # nothing but bytes leaves this process, and no exception does
        queue.put_nowait(Fault(f"{type(exc).__name__}: {exc}"))
    finally:
        young.cancel()
        orders.unlink(missing_ok=True)
        queue.put_nowait(None)


async def _wait(evaluation: Evaluation) -> Outcome:
    """Return the outcome; end the evaluation if nobody waits for it any more."""
    try:
        return await evaluation.outcome()
    except asyncio.CancelledError:
        evaluation.cancel("nobody waits for it any more")
        await evaluation.outcome()
        await evaluation.acknowledge()
        raise


class _Orders:
    """A pipe that takes orders for an evaluation, a line each: `freeze`, `thaw`, `cancel REASON`."""

    def __init__(self, path: Path) -> None:
        # Open for writing, too, so that it never ends.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._lines: list[str] = []
        self._evaluation: Evaluation | None = None

    def __enter__(self) -> _Orders:
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def follow(self, evaluation: Evaluation) -> None:
        """Obey the orders that came, and those to come."""
        self._evaluation = evaluation
        for line in self._lines:
            self._obey(evaluation, line)

    def _read(self) -> None:
        try:
            lines = os.read(self._fd, 65536).decode("utf-8", "replace").splitlines()
        except BlockingIOError:
            return
        for line in lines:
            if self._evaluation is None:
                self._lines.append(line)
            else:
                self._obey(self._evaluation, line)

    def _obey(self, evaluation: Evaluation, line: str) -> None:
        order, _, reason = line.partition(" ")
        if order == "freeze":
            evaluation.freeze()
        elif order == "thaw":
            evaluation.thaw()
        elif order == "cancel":
            evaluation.cancel(reason)


# Outcomes that outlive the engine


def _keep(root: Path, request: Request, done: bytes) -> None:
    """Keep an outcome for the case that the engine ends before it has recorded it."""
    folder = root / "done" / request.engine
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{request.key}-{request.attempt}"
    made = path.with_suffix(f".{os.getpid()}")
    made.write_bytes(done)
    made.replace(path)


def recall(data: bytes, root: str) -> bytes:
    """Return the kept outcome of an evaluation, as `Done`, or `NothingKept`."""
    request = decode_request(data)
    name = f"{request.key}-{request.attempt}"
    for path in Path(root, "done").glob(f"*/{name}"):
        kept = path.read_bytes()
        if isinstance(decode_item(kept, _MOST_DONE), Done):
            return kept
    folder = Path(root, "work", name)
    if folder.exists():
        # Its supervisor outlived its worker.
        outcome = asyncio.run(recover(folder))
        remove_tree(str(folder))
        if outcome is not None:
            facts = dict(facts_of(request.job.python, request.job.gpu))
            return encode(Done(request.key, request.attempt, facts, OutcomeMessage.of(outcome)))
    return encode(NothingKept())


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
