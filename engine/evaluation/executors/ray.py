"""Run evaluations on a Ray cluster: each is a Ray task that starts the same supervisor on its machine.

Ray places tasks, gives them GPUs and tells of losses. What it cannot do, such as to freeze an evaluation, goes through
a pipe beside the evaluation. Another process (`ray_bridge`) imports Ray.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import EvolveError
from engine.evaluation.evaluator import Job, Printed, Progress
from engine.evaluation.executors.base import EndedEvaluation, Machine, Placed, RunningEvaluation, Submission
from engine.evaluation.executors.blobs import linked_paths, pack_source, pack_task
from engine.evaluation.executors.messages import Done, Request, decode_item, encode, most_bytes, to_outcome
from engine.evaluation.executors.ray_evaluation import RayEvaluation
from engine.evaluation.executors.ray_link import Listener, RayLink
from engine.evaluation.executors.travel import config_text, passed_environment
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources

__all__ = ["RayExecutor"]

_REOPEN_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)


class RayExecutor:
    """A Ray cluster.

    Args:
        settings: its address, and where machines keep their files.
        resources: what an evaluation needs, with the number of GPUs.
    """

    name = "ray"
    records_submissions = True

    def __init__(self, settings: ExecutorSettings, resources: Resources) -> None:
        self._settings, self._resources = settings, resources
        self._engine = secrets.token_hex(8)
        self._link: RayLink | None = None
        self._reading: asyncio.Task[None] | None = None
        self._number = 0
        self._listeners: dict[int, Listener] = {}
        self._unsent: dict[int, tuple[Submission, bytes, dict[str, bytes]]] = {}
        """By number, evaluations that wait for a connection: the attempt, its request, the blobs of that."""
        self._machines: tuple[Machine, ...] = ()
        self.token = False
        """Whether the cluster asks its clients for a token."""
        self._tasks: dict[Path, tuple[str, bytes, set[str]]] = {}
        """By folder: the blob of a task, and the files that it has from outside of the folder."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines that there are now, by name."""
        return self._machines

    def slots(self, wanted: int | None) -> int:
        """Return how many evaluations fit onto the machines that there are, but no more than wanted."""
        room = sum(machine.slots for machine in self._machines)
        return room if wanted is None else min(wanted, room)

    def threads(self, slots: int) -> int:
        """Return the cores that an evaluation has, at least 1."""
        return max(1, int(self._resources.cpus))

    @asynccontextmanager
    async def lease(self, wanted: Callable[[], bool]) -> AsyncIterator[str | None]:
        """Nothing is held: GPUs are the cluster's to give."""
        yield ""

    # The connection

    async def open(self) -> None:
        """Connect to the cluster.

        Raises:
            EvolveError: Ray is not installed, or there is no such cluster.
        """
        self._link = await self._connect()
        self._reading = asyncio.create_task(self._read(self._link))

    async def aclose(self) -> None:
        """End the connection; the cluster ends what still runs."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._link is not None:
            await self._link.aclose()
            self._link = None

    async def _connect(self) -> RayLink:
        link = await RayLink.open(self._settings.address, msgspec.to_builtins(self._resources))
        self._set_machines(link.opened["nodes"])
        self.token = bool(link.opened["token"])
        return link

    async def _read(self, link: RayLink) -> None:
        """Hand on what the cluster says; connect anew when the connection is lost."""
        while True:
            with suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    self._receive(*await link.receive())
            self._machines = ()
            for listener in list(self._listeners.values()):
                listener(
                    {"type": "lost", "kind": "", "blamed": False, "message": "the connection to the cluster was lost"},
                    b"",
                )
            self._link = None
            await link.aclose()
            link = self._link = await self._reconnect()
            self._submit()

    async def _reconnect(self) -> RayLink:
        pauses = iter(_REOPEN_SECONDS)
        while True:
            await asyncio.sleep(next(pauses, _REOPEN_SECONDS[-1]))
            with suppress(EvolveError):
                return await self._connect()

    def _receive(self, header: dict[str, Any], body: bytes) -> None:
        if header["type"] == "cluster":
            self._set_machines(header["nodes"])
            return
        listener = self._listeners.get(header["id"])
        if listener is not None:
            listener(header, body)

    def _set_machines(self, nodes: list[dict[str, Any]]) -> None:
        self._machines = tuple(
            Machine(
                node["id"], node["name"], self._resources.fit(node["total"]), node["total"].get("CPU", 0.0),
                node["total"].get("GPU", 0.0),
            )
            for node in nodes
        )  # fmt: skip

    def send(self, header: dict[str, object], body: bytes = b"") -> None:
        """Send a message to the cluster; while there is no connection, nothing runs there that it could be for."""
        if self._link is not None:
            self._link.send(header, body)

    def host_of(self, node: str) -> str:
        """Return the name of a machine by its id."""
        return next((machine.name for machine in self._machines if machine.id == node), node[:12])

    def _listen(self, listener: Listener) -> int:
        self._number += 1
        self._listeners[self._number] = listener
        return self._number

    def forget(self, number: int) -> None:
        """Listen no longer to what is said of an evaluation."""
        self._listeners.pop(number, None)
        self._unsent.pop(number, None)

    # Evaluations

    async def start(
        self, job: Job, on_progress: Progress, submission: Submission, on_placed: Placed, on_printed: Printed
    ) -> RunningEvaluation:
        """Submit an evaluation, as soon as there is a connection.

        Raises:
            EvolveError: the task's files cannot be read, or are too many to send.
        """
        request, blobs = await self._request(job, submission)
        evaluation = RayEvaluation(self, job, submission, on_progress, on_placed, on_printed)
        evaluation.number = self._listen(evaluation.take)
        self._unsent[evaluation.number] = (submission, request, blobs)
        self._submit()
        return evaluation

    def _submit(self) -> None:
        """Submit what waits for a connection, if there is one."""
        if self._link is None:
            return
        unsent, self._unsent = self._unsent, {}
        for number, (submission, request, blobs) in unsent.items():
            self._give(blobs)
            avoid = [machine.id for machine in self._machines if machine.name in submission.avoid]
            if not any(machine.slots and machine.id not in avoid for machine in self._machines):
                avoid = []  # better where it was lost than nowhere
            on = next((one.id for one in self._machines if one.name == submission.on and one.slots), "")
            self.send({"do": "run", "id": number, "blobs": list(blobs), "avoid": avoid, "on": on}, request)

    def withdraw(self, number: int) -> None:
        """Take back an evaluation that is not known to have started."""
        if number in self._unsent:
            self._listeners[number]({"type": "end"}, b"")
        else:
            self.send({"do": "withdraw", "id": number})

    async def adopt(
        self,
        job: Job,
        submission: Submission | None,
        on_progress: Progress,
        on_placed: Placed,
        on_printed: Printed,
    ) -> RunningEvaluation | None:
        """Return the outcome that a machine keeps of an evaluation whose engine has ended, if there is one.

        What still ran then has ended with that engine.
        """
        if submission is None:
            return None
        request, blobs = await self._request(job, submission)
        known = submission.handle
        nodes = [machine.id for machine in self._machines if known in ("", machine.id)]
        for node, answer in (await self._ask("recall", request, blobs, nodes)).items():
            with suppress(ValueError):  # a machine that keeps nonsense keeps nothing
                item = decode_item(answer, most_bytes(job)) if isinstance(answer, bytes) else None
                if isinstance(item, Done) and (item.key, item.attempt) == (submission.key, submission.attempt):
                    return EndedEvaluation(to_outcome(item, self.host_of(node)))
        return None

    async def survey(self) -> dict[str, bytes | str]:
        """Return what each machine is like, by its id, as JSON; a text says why one did not answer."""
        source = pack_source()
        request = {
            "source": source[0], "task": "", "scratch": self._settings.scratch, "config": config_text(),
            "environment": passed_environment(),
        }  # fmt: skip
        nodes = [machine.id for machine in self._machines]
        return await self._ask("survey", msgspec.json.encode(request), dict([source]), nodes)

    async def _ask(
        self, what: str, request: bytes, blobs: dict[str, bytes], nodes: list[str]
    ) -> dict[str, bytes | str]:
        """Ask machines, and return their answers; a text says why one did not answer."""
        found: dict[str, bytes | str] = {}
        ended = asyncio.Event()

        def take(header: dict[str, Any], body: bytes) -> None:
            if header["type"] == "item":
                found[header["node"]] = body
            elif header["type"] == "unanswered":
                found[header["node"]] = str(header["message"])
            else:
                ended.set()

        number = self._listen(take)
        try:
            if nodes and self._give(blobs):
                self.send({"do": what, "id": number, "blobs": list(blobs), "nodes": nodes}, request)
                await ended.wait()
        finally:
            self.forget(number)
        return found

    async def discard(self, folder: Path) -> None:
        """Remove a folder that an earlier engine left on this machine; those of the cluster remove theirs."""
        await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _request(self, job: Job, submission: Submission) -> tuple[bytes, dict[str, bytes]]:
        """Return the request for an evaluation, and the blobs that a machine needs for it."""
        folder = job.task_folder
        if folder not in self._tasks:
            self._tasks[folder] = await asyncio.to_thread(lambda: (*pack_task(folder), linked_paths(folder)))
        source, (task, content, linked) = pack_source(), self._tasks[folder]
        # Files that links lead to travel with the folder.
        mounts = [mount for mount in job.mounts if mount not in linked]
        request = Request.of(
            job, mounts, key=submission.key, attempt=submission.attempt, engine=self._engine, source=source[0],
            task=task, scratch=self._settings.scratch, config=config_text(), environment=passed_environment(),
        )  # fmt: skip
        return encode(request), {source[0]: source[1], task: content}

    def _give(self, blobs: dict[str, bytes]) -> bool:
        """Give the cluster blobs that it does not have; return whether there is a connection."""
        if self._link is not None:
            for sha, blob in blobs.items():
                self._link.send_blob(sha, blob)
        return self._link is not None
