"""Run evaluations on a machine of a cluster, in a Ray worker. A machine gets this file from the engine as a blob.

The worker starts the same supervisor as an engine does. No code of a task or a candidate runs in the worker itself, so
that it serves one evaluation after another: what they are forked from stays warm.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

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
from engine.evaluation.supervisor.folders import remove_tree

__all__ = ["evaluate", "recall", "survey"]

_LIBRARIES = ("numpy", "scipy", "torch", "triton", "jax", "scikit-learn")
_KEPT_SECONDS = 7 * 86400
"""How long a machine keeps outcomes, and files of evaluations that no engine asked for again."""
_RECORDED_SECONDS = 120
"""After which an outcome is in the journal of the engine that asked for it, if that engine asks for more."""
_SWEEP_SECONDS = 30.0
_MOST_DONE = 1 << 30

_loop: asyncio.AbstractEventLoop | None = None
_swept = 0.0


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
    _sweep(Path(root), request.engine)
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
    facts = dict(_facts(job.python, job.gpu))
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
        done = Done(request.key, request.attempt, facts, _message(outcome))
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
            facts = dict(_facts(request.job.python, request.job.gpu))
            return encode(Done(request.key, request.attempt, facts, _message(outcome)))
    return encode(NothingKept())


def _sweep(root: Path, engine: str) -> None:
    """Remove what nobody asks for any more; a worker looks twice a minute."""
    global _swept
    if time.monotonic() - _swept < _SWEEP_SECONDS:
        return
    _swept = time.monotonic()
    now = time.time()
    for path in (root / "done").glob("*/*"):
        _remove_old(path, now - (_RECORDED_SECONDS if path.parent.name == engine else _KEPT_SECONDS))
    for kind in ("work", "orders", "home", "blobs"):
        for path in (root / kind).glob("*"):
            _remove_old(path, now - _KEPT_SECONDS)


def _remove_old(path: Path, before: float) -> None:
    try:
        if path.lstat().st_mtime < before:
            if path.is_dir() and not path.is_symlink():
                remove_tree(str(path))
            else:
                path.unlink()
    except OSError:
        return  # another worker removes it at this moment


def _message(outcome: Outcome) -> OutcomeMessage:
    return OutcomeMessage(**{name: getattr(outcome, name) for name in OutcomeMessage.__struct_fields__})


# What this machine is


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


@functools.cache
def _facts(python: str | None, gpu: bool) -> tuple[tuple[str, str], ...]:
    """Return what scores may depend on."""
    facts = {"machine": platform.machine(), "cpu": _processor(), "cores": str(os.cpu_count() or 0)}
    facts |= _libraries(python)
    if gpu:
        facts |= _gpu()
    return tuple(sorted(facts.items()))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "CPU part"))]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


_ASK_LIBRARIES = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def _libraries(python: str | None) -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers come from, of the task's interpreter."""
    if python is not None:
        command = [shutil.which(python) or python, "-I", "-c", _ASK_LIBRARIES, *_LIBRARIES]
        try:
            said = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
            return {str(name): str(version) for name, version in json.loads(said).items()}
        except (OSError, ValueError, subprocess.SubprocessError):
            return {"python": python}
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> dict[str, str]:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    name, _, driver = (lines or [""])[0].partition(",")
    return {"gpu": name.strip(), "driver": driver.strip()}


def survey(root: str) -> bytes:
    """Return what `evolve doctor` asks of a machine, as JSON."""
    from engine.evaluation.cgroups import configured_cgroups
    from engine.evaluation.sandbox import find_sandbox

    sandbox = find_sandbox()
    space = shutil.disk_usage(root)
    found: dict[str, Any] = {
        "type": "survey",
        "python": platform.python_version(),
        "executable": sys.executable,
        "msgspec": msgspec.__version__,
        "sandbox": sandbox.name,
        "guards": sandbox.guards,
        "shortfall": sandbox.shortfall,
        "cgroup": configured_cgroups().version,
        "scratch": root,
        "free_mb": space.free >> 20,
        "clock": time.time(),
        "facts": dict(_facts(None, shutil.which("nvidia-smi") is not None)),
    }
    return json.dumps(found).encode()
