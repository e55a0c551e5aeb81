"""Run evaluations on a SLURM cluster: each is a job that starts the same supervisor on its machine.

SLURM queues jobs and gives them processors, memory and GPUs. What jobs and engine tell each other goes through files in
a folder that all machines see. A job outlives its engine: the next engine finds it again by its name, which is the key
of the attempt, and waits for it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import shutil
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import EvolveError
from engine.evaluation.evaluator import Job, Printed, Progress
from engine.evaluation.executors import slurm_commands as slurm
from engine.evaluation.executors.base import EndedEvaluation, Machine, Placed, RunningEvaluation, Submission
from engine.evaluation.executors.blobs import linked_paths, pack_source, pack_task, unpack
from engine.evaluation.executors.messages import Request, encode
from engine.evaluation.executors.slurm_evaluation import SlurmEvaluation
from engine.evaluation.executors.slurm_files import RESULT, SharedFolder, attempt_key, read_signed
from engine.evaluation.executors.slurm_options import job_arguments, job_script, needed, partitions_of
from engine.evaluation.executors.slurm_room import check_room
from engine.evaluation.executors.travel import config_text, passed_environment
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from engine.task.spec import Limits
from engine.workspace import network_file_system, workspace

__all__ = ["SlurmExecutor"]

_SLOTS = 16
"""Evaluations at once if nobody says how many: the cluster is not this run's alone."""
_LOOK_SECONDS = 0.25
_MACHINES_SECONDS = 60.0
_RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0)
_SURVEY = Limits(seconds=60, memory_mb=256)
_SUBMISSIONS = 4
"""sbatch commands at once."""


class SlurmExecutor:
    """A SLURM cluster.

    Args:
        settings: the folder that its machines share with this one, and how to submit.
        resources: what an evaluation needs, with the number of GPUs.
        exclusive: whether an evaluation has its machine for itself.
        run_key: returns the key of the run, which signs results; called by `open`.

    Raises:
        TaskError: SLURM cannot give what an evaluation needs.
    """

    name = "slurm"
    records_submissions = True

    def __init__(
        self, settings: ExecutorSettings, resources: Resources, exclusive: bool, run_key: Callable[[], bytes]
    ) -> None:
        self._settings, self._resources = settings, resources
        self._options = [*needed(resources), *(["--exclusive"] if exclusive else [])]
        self._make_key, self._run_key = run_key, b""
        root = Path(settings.scratch).expanduser() if settings.scratch else workspace() / "slurm"
        self._files = SharedFolder(root, False)
        self._partitions = partitions_of(settings.options)
        self._machines: tuple[Machine, ...] = ()
        self._queued: dict[str, slurm.Job] = {}
        self._running: dict[str, SlurmEvaluation] = {}
        self._tasks: dict[Path, tuple[str, set[str]]] = {}
        """By folder: the unpacked copy of a task, and the files that it has from outside of the folder."""
        self._source = ""
        self._beside: set[asyncio.Task[None]] = set()
        self._submitting = asyncio.Semaphore(_SUBMISSIONS)
        self._orders: list[tuple[str, str]] = []
        self._doomed: set[str] = set()
        self._released: set[str] = set()
        self._woken = asyncio.Event()
        self._told = ""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines that jobs may run on, by name, as they were a minute ago or less."""
        return self._machines

    def slots(self, wanted: int | None) -> int:
        """Return what is wanted; by default how many evaluations fit onto the machines, 16 at most."""
        return wanted or max(1, min(_SLOTS, sum(machine.slots for machine in self._machines)))

    def threads(self, slots: int) -> int:
        """Return the cores that an evaluation has, at least 1."""
        return max(1, math.ceil(self._resources.cpus))

    @asynccontextmanager
    async def lease(self, wanted: Callable[[], bool]) -> AsyncIterator[str | None]:
        """Nothing is held: devices are SLURM's to give."""
        yield ""

    async def open(self) -> None:
        """Ask the cluster for its machines and its queue, and make the shared folder.

        Raises:
            EvolveError: SLURM does not answer, has no machine for an evaluation, or the folder cannot be made.
        """
        try:
            await self._ask_machines()
            self._queued = await slurm.list_jobs()
        except slurm.Unanswered as exc:
            raise EvolveError(
                f"SLURM does not answer: {exc.message}", "'evolve doctor --executor slurm' tells more"
            ) from None
        check_room(self._machines, self._resources, self._partitions, self._settings.options)
        root = self._files.root
        try:
            self._run_key = self._make_key()
            await asyncio.to_thread(self._files.make)
            self._files = SharedFolder(root, bool(network_file_system(root)))
            self._source = str(await asyncio.to_thread(unpack, pack_source(), root / "blobs"))
            await asyncio.to_thread(self._files.sweep, [name.removeprefix(slurm.PREFIX) for name in self._queued])
        except OSError as exc:
            raise EvolveError(
                f"{exc.filename or root} cannot be used: {exc.strerror}",
                "Name a folder that this machine and all of the cluster see as executor.scratch",
            ) from None
        for watch in (self._watch_files(), self._watch_orders(), self._watch_queue()):
            self._begin(watch)

    async def aclose(self) -> None:
        """Cancel the jobs that still run; stop to look at them."""
        for evaluation in list(self._running.values()):
            evaluation.cancel("the engine is ending")
        for task in self._beside:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside)
        await self._flush()

    def _begin(self, work: Any) -> None:
        def end(task: asyncio.Task[None]) -> None:
            self._beside.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                # Nobody would wake those that wait for it.
                traceback.print_exception(error)
                for evaluation in list(self._running.values()):
                    evaluation.decide(EvolveError(f"the watch over SLURM's jobs failed: {error}"))

        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(end)

    # Evaluations

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        """Submit an evaluation, as soon as SLURM takes it.

        Raises:
            EvolveError: the task's files cannot be read or written, or are too many.
        """
        evaluation = self._evaluation(job, on_progress, submission, on_placed, on_printed)
        task, linked = await self._task(job.task_folder)
        # Files that links lead to are in the copy of the folder.
        mounts = [mount for mount in job.mounts if mount not in linked]
        request = Request.of(
            job, mounts, key=submission.key, attempt=submission.attempt, engine="", source=self._source, task=task,
            scratch="", config=config_text(), environment=passed_environment(),
        )  # fmt: skip
        key = attempt_key(self._run_key, evaluation.name)
        try:
            await asyncio.to_thread(self._files.remove, [evaluation.name])
            await asyncio.to_thread(self._files.put, evaluation.name, encode(request), key)
        except OSError as exc:
            raise EvolveError(f"{exc.filename} cannot be written: {exc.strerror}") from None
        self._running[evaluation.name] = evaluation
        self._begin(self._submit(evaluation, job, submission))
        return evaluation

    async def adopt(
        self,
        job: Job,
        submission: Submission | None,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> RunningEvaluation | None:
        """Return an evaluation that an earlier engine submitted: its result, or its job in the queue."""
        if submission is None:
            return None
        evaluation = self._evaluation(job, on_progress, submission, on_placed, on_printed)
        name = evaluation.name
        queued = self._queued.get(slurm.PREFIX + name)
        if queued is not None and queued.is_alive and not await asyncio.to_thread(self._files.job(name).is_dir):
            # It writes into another shared folder, which the run has left.
            self.cancel(queued.id)
            return None
        if queued is not None and queued.is_alive:
            self._running[name] = evaluation
            evaluation.submitted(queued.id)
            # The engine that died may have frozen it.
            evaluation.thaw()
            return evaluation
        # It has ended, so that its result is there or never will be.
        while seen := (await asyncio.to_thread(self._files.look, {name: (evaluation.read, evaluation.most)})).get(name):
            evaluation.take(seen)
            if evaluation.settled is not None:
                return EndedEvaluation(evaluation.settled, evaluation.acknowledge)
            if seen.result is not None:
                break
        self.release(name)
        return None

    async def discard(self, folder: Path) -> None:
        """Remove a folder that an earlier engine left on this machine; machines of the cluster remove theirs."""
        await asyncio.to_thread(shutil.rmtree, folder, True)

    def _evaluation(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> SlurmEvaluation:
        key = attempt_key(self._run_key, f"{submission.key}-{submission.attempt}")
        return SlurmEvaluation(self, key, job, submission, on_progress, on_placed, on_printed)

    async def _task(self, folder: Path) -> tuple[str, set[str]]:
        """Return the copy of a task folder that machines see, and the files that it has from elsewhere."""
        if folder not in self._tasks:

            def copy() -> tuple[str, set[str]]:
                return str(unpack(pack_task(folder), self._files.root / "blobs")), linked_paths(folder)

            try:
                self._tasks[folder] = await asyncio.to_thread(copy)
            except OSError as exc:
                raise EvolveError(f"{exc.filename} cannot be written: {exc.strerror}") from None
        return self._tasks[folder]

    async def _submit(self, evaluation: SlurmEvaluation, job: Job, submission: Submission) -> None:
        """Submit an evaluation; where it is not known whether SLURM took it, look before another try."""
        name = evaluation.name
        avoid = [node for node in submission.avoid if any(node == machine.name for machine in self._machines)]
        if len(avoid) == len(self._machines):
            avoid = []  # better where it was lost than nowhere
        placed = [f"--exclude={','.join(avoid)}"] if avoid else []
        if any(machine.name == submission.on and machine.slots for machine in self._machines):
            placed = [f"--nodelist={submission.on}"]
        options = [*self._options, *placed, *self._settings.options]
        arguments = job_arguments(slurm.PREFIX + name, self._files.job(name), job.limits, options)
        script = job_script(self._settings, self._source, self._files.root, name)
        pauses = iter(_RETRY_SECONDS)
        while name in self._running:
            try:
                async with self._submitting:
                    id_ = await slurm.submit(arguments, script)
            except slurm.Unanswered as exc:
                self._tell(exc.message)
                known = await self._taken(name, pauses)
                if known is not None:
                    evaluation.submitted(known.id)
                    return
            except slurm.Refused as exc:
                evaluation.decide(exc)
                self.release(name)
            else:
                evaluation.submitted(id_)
                return

    async def _taken(self, name: str, pauses: Iterator[float]) -> slurm.Job | None:
        """Return the job of an attempt if SLURM has taken it; wait until SLURM says so, since another would be one too
        many."""
        while True:
            await asyncio.sleep(next(pauses, _RETRY_SECONDS[-1]))
            try:
                return (await slurm.list_jobs()).get(slurm.PREFIX + name)
            except EvolveError as exc:
                self._tell(exc.message)

    async def survey(self, seconds: float) -> bytes | str:
        """Return what a machine of the cluster is like, as JSON; a text says why none answered.

        Args:
            seconds: how long to wait for one.
        """
        name, key = f"survey-{secrets.token_hex(8)}", secrets.token_bytes(32)
        arguments = job_arguments(slurm.PREFIX + name, self._files.job(name), _SURVEY, self._settings.options)
        script = job_script(self._settings, self._source, self._files.root, name)
        deadline = asyncio.get_running_loop().time() + seconds
        id_, ended = "", False
        try:
            self._files.put(name, b"survey", key)
            id_ = await slurm.submit(arguments, script)
            while True:
                seen = self._files.look({name: (0, 1 << 20)}).get(name)
                if seen is not None and seen.result is not None:
                    return read_signed(key, RESULT, seen.result)
                job = (await slurm.list_jobs()).get(slurm.PREFIX + name)
                late = asyncio.get_running_loop().time() > deadline
                if ended or late:
                    state = "is gone" if job is None else f"is {job.state} ({job.reason})"
                    return f"a job that asks {state}{f': {said}' if (said := self._files.log(name)) else ''}"
                ended = job is None or not job.is_alive
                await asyncio.sleep(self._settings.poll_seconds if ended else 0.5)
        except EvolveError as exc:
            return exc.message
        except OSError as exc:
            return f"{exc.filename or self._files.root} cannot be used: {exc.strerror}"
        except ValueError as exc:
            return f"a job answered with {exc}"
        finally:
            if id_:
                self.cancel(id_)
            self.release(name)

    # What evaluations ask for; it is carried out together, and at once

    def order(self, name: str, line: str) -> None:
        """Give a job an order."""
        self._orders.append((name, line))
        self._woken.set()

    def cancel(self, id_: str) -> None:
        """Cancel a job."""
        self._doomed.add(id_)
        self._woken.set()

    def release(self, name: str) -> None:
        """Remove what is kept of an attempt."""
        self._released.add(name)
        self._woken.set()

    def forget(self, name: str) -> None:
        """Look no longer at an attempt."""
        self._running.pop(name, None)

    def log(self, name: str) -> str:
        """Return the last line that a job printed."""
        return self._files.log(name)

    async def _flush(self) -> None:
        """Carry out what evaluations ask for; what is cut short or gets no answer is left for the next call."""
        while self._orders:
            await asyncio.to_thread(self._files.order, *self._orders[0])
            del self._orders[0]
        if doomed := sorted(self._doomed):
            try:
                await slurm.cancel(doomed)
            except slurm.Unanswered as exc:
                self._tell(exc.message)
            except slurm.Refused:
                self._doomed.difference_update(doomed)  # they are gone
            else:
                self._doomed.difference_update(doomed)
        if released := sorted(self._released):
            await asyncio.to_thread(self._files.remove, released)
            self._released.difference_update(released)

    async def _watch_orders(self) -> None:
        """Carry out what evaluations ask for as they ask; try again later what SLURM did not answer to."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds if self._doomed else None):
                    await self._woken.wait()
            self._woken.clear()
            await self._flush()

    async def _watch_files(self) -> None:
        """Take in what machines write."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            wanted = {name: (one.read, one.most) for name, one in self._running.items() if one.id}
            if not wanted:
                continue
            try:
                found = await asyncio.to_thread(self._files.look, wanted)
            except OSError as exc:
                self._tell(f"{exc.filename or self._files.root} cannot be read: {exc.strerror}")
                continue
            for name, seen in found.items():
                evaluation = self._running.get(name)
                if evaluation is not None:
                    evaluation.take(seen)

    async def _watch_queue(self) -> None:
        """Ask for all jobs together whether they are still there, and now and then for the machines."""
        asked = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            submitted = [one for one in self._running.values() if one.id]
            try:
                if submitted:
                    self._queued = await slurm.list_jobs()
                    for one in submitted:
                        one.look_at(self._queued.get(slurm.PREFIX + one.name))
                if asyncio.get_running_loop().time() - asked > _MACHINES_SECONDS:
                    asked = asyncio.get_running_loop().time()
                    await self._ask_machines()
            except EvolveError as exc:
                self._tell(exc.message)

    async def _ask_machines(self) -> None:
        found = await slurm.list_machines(self._partitions)
        self._machines = tuple(
            Machine(name, name, self._resources.fit(total), total["CPU"], total.get("GPU", 0.0))
            for name, total in sorted(found.items())
        )  # fmt: skip

    def _tell(self, message: str) -> None:
        """Print what keeps this from work into the engine's log, once in a row."""
        if message != self._told:
            self._told = message
            sys.stderr.write(f"slurm: {message}\n")
