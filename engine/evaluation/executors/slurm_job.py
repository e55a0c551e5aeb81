"""What a job of SLURM runs on its machine: one evaluation, under the same supervisor as an engine starts.

Its messages are lines of a file in the shared folder, and its result is another one; both are signed with the key of
the attempt, which is gone from the folder before any code of a task or a candidate runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from engine.errors import EvolveError
from engine.evaluation.evaluator import Evaluation, Job, Stream
from engine.evaluation.executors.messages import (
    Done,
    Fault,
    Item,
    OutcomeMessage,
    Progressed,
    Request,
    Started,
    Written,
    decode_request,
    encode,
    job_of,
)  # fmt: skip
from engine.evaluation.executors.node_facts import facts_of, survey
from engine.evaluation.executors.node_files import keep_young, sweep
from engine.evaluation.executors.ray_task import root_of
from engine.evaluation.executors.slurm_files import RESULT, partial_of, sign

__all__ = ["main"]

_TELL_SECONDS = 0.5
_MOST_REPORTS = 1000
"""Reports that may wait to be told; of more, the oldest are left out."""


def main(shared: str, name: str) -> NoReturn:
    """Run the evaluation that a request in the shared folder asks for.

    Args:
        shared: the shared folder.
        name: the attempt.
    """
    folder, out = Path(shared, "jobs", name), Path(shared, "out", name)

    def end(last: bytes) -> NoReturn:
        try:
            _write(out, sign(key, RESULT, last), folder)
        except OSError as exc:
            sys.exit(f"{exc.filename or out}: {exc.strerror}")
        sys.exit(0)

    try:
        data, key = (folder / "request").read_bytes(), (folder / "key").read_bytes()
        (folder / "key").unlink()
    except OSError as exc:
        sys.exit(f"{exc.filename}: {exc.strerror}: nobody waits for this evaluation any more")
    home: Path | None = None
    try:
        if data == b"survey":
            end(survey(str(root_of(""))))
        request = decode_request(data)
        root = root_of(request.scratch)
        home = root / "home" / f"job-{os.getpid()}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "config.toml").write_text(request.config, "utf-8")
        os.environ.update(request.environment, EVOLVE_HOME=str(home))
        sweep(root, "")
        last = asyncio.run(_run(request, root, [home, folder], _Teller(folder / "progress", key)))
    except OSError as exc:
        last = Fault(f"{exc.filename or folder}: {exc.strerror}")
    except ValueError as exc:
        last = Fault(f"its request cannot be read: {exc}")
    finally:
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
    if last is None:
        sys.exit("it was told to end")
    end(encode(last))


class _Teller:
    """Writes messages, a signed line each.

    Args:
        path: the file.
        key: signs.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key, self._number = path, key, 0
        self.reports: list[tuple[float | None, dict[str, float]]] = []
        self._printed: list[Written] = []

    def report(self, step: float | None, values: dict[str, float]) -> None:
        """Take a report of the evaluator."""
        self.reports.append((step, values))
        del self.reports[:-_MOST_REPORTS]

    def take_print(self, stream: Stream, text: str, left_out: int) -> None:
        """Take what the evaluation printed."""
        self._printed.append(Written(stream, text, left_out))

    def tell(self, item: Item) -> None:
        """Write a message."""
        with open(self._path, "ab") as file:
            file.write(sign(self._key, str(self._number), encode(item)) + b"\n")
        self._number += 1

    def tell_taken(self) -> None:
        """Write what was taken since."""
        printed, self._printed = self._printed, []
        for item in printed:
            self.tell(item)
        reports, self.reports = self.reports, []
        if reports:
            self.tell(Progressed(reports))


async def _run(request: Request, root: Path, used: list[Path], teller: _Teller) -> Item | None:
    """Run an evaluation; return its last message, or None if this process was told to end."""
    name = f"{request.key}-{request.attempt}"
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "") if request.job.gpu else ""
    job = Job(task_folder=Path(request.task), folder=root / "work" / name, device=device, **job_of(request.job))
    facts = dict(facts_of(job.python, job.gpu))
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    job.folder.parent.mkdir(mode=0o700, exist_ok=True)
    host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    teller.tell(Started(request.key, request.attempt, host, ""))
    try:
        evaluation = await Evaluation.start(job, teller.report, teller.take_print)
    except EvolveError as exc:
        return Fault(str(exc))
    young = asyncio.create_task(keep_young([job.folder, job.task_folder, Path(request.source), *used]))
    orders, known = used[-1] / "orders", 0
    ended = asyncio.create_task(evaluation.outcome())
    ending = asyncio.create_task(told_to_end.wait())
    try:
        while not ended.done():
            await asyncio.wait([ended, ending], timeout=_TELL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if told_to_end.is_set():
                evaluation.cancel("its job was cancelled")
                await ended
                await evaluation.acknowledge()
                return None
            teller.tell_taken()
            known = _obey(evaluation, orders, known)
        outcome = ended.result()
        await evaluation.acknowledge()
    except EvolveError as exc:
        return Fault(str(exc))
    finally:
        young.cancel()
        ending.cancel()
    return Done(request.key, request.attempt, facts, OutcomeMessage.of(outcome))


def _obey(evaluation: Evaluation, path: Path, known: int) -> int:
    """Carry out the orders in a file from a byte on; return how many bytes of it are known then."""
    try:
        with open(path, "rb") as file:
            file.seek(known)
            said = file.read(65536)
    except OSError:
        return known
    whole = said[: said.rfind(b"\n") + 1]
    for order in whole.decode("utf-8", "replace").splitlines():
        if order == "freeze":
            evaluation.freeze()
        elif order == "thaw":
            evaluation.thaw()
    return known + len(whole)


def _write(path: Path, content: bytes, awaited: Path) -> None:
    """Write a file that others see whole or not at all, and that outlives a power cut.

    Args:
        path: the file.
        content: what it holds.
        awaited: a folder that is there as long as somebody waits for the file; nobody would remove it after that.

    Raises:
        OSError: it cannot be written.
    """
    made = partial_of(path)
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    try:
        # To look would not do: a network file system remembers what was there.
        os.utime(awaited)
    except OSError:
        path.unlink(missing_ok=True)
