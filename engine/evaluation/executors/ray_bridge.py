"""The process between an engine and a Ray cluster: it alone imports Ray.

An engine stays small, and outlives its cluster: if Ray ends this process, the engine starts another one. When the
engine ends, however it does, this process reads the end of its socket and ends as well; Ray then kills what it had
submitted. Messages are frames as on the result channel: a header, and a body that is handed on unread.

Ray unpickles what a task returns, unless that is bytes. Here it unpickles nothing at all (`_refuse_pickles`), so that a
machine that a candidate has taken over cannot run code in this process.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, NoReturn

from engine.evaluation.executors import ray_task
from engine.evaluation.supervisor.frames import pack

__all__ = ["main"]

_LOOK_SECONDS = 1.0
_CANCEL_SECONDS = 10.0
_MOST_BYTES = 1 << 32


def main() -> None:
    """Serve the engine at the other end of the socket on descriptor 0 until it ends."""
    asyncio.run(_serve())


async def _serve() -> None:
    import socket

    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(0)), limit=1 << 20)
    try:
        header, _ = await _receive(reader)
        try:
            bridge = _Bridge(writer, header)
        except Exception as exc:  # whatever Ray raises
            _send(writer, {"type": "failed", "message": _first_lines(exc)})
            await writer.drain()
            return
        look = asyncio.create_task(bridge.watch_nodes())
        while True:
            bridge.take(*await _receive(reader))
            if look.done():
                look.result()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        # What is left is Ray's threads: a clean end of theirs takes seconds, and Ray sees this one at once.
        os._exit(0)


async def _receive(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    head, _, body = (await reader.readexactly(size)).partition(b"\n")
    return json.loads(head), body


def _send(writer: asyncio.StreamWriter, header: dict[str, object], body: bytes = b"") -> None:
    writer.write(pack(header, body))


class _Bridge:
    """The engine's driver in the cluster.

    Args:
        writer: to the engine.
        start: the engine's first message, with `address`, `cpus`, `gpus` and `custom` resources of an evaluation.
    """

    def __init__(self, writer: asyncio.StreamWriter, start: dict[str, Any]) -> None:
        import ray

        self._ray, self._writer = ray, writer
        _refuse_pickles()
        ray.init(
            address=start["address"], log_to_driver=False, configure_logging=False, ignore_reinit_error=False,
            namespace="evolve",
        )  # fmt: skip
        ray.cloudpickle.register_pickle_by_value(ray_task)
        self._needs = {
            "num_cpus": start["cpus"], "num_gpus": start["gpus"], "resources": start["custom"] or None,
            "max_retries": 0, "num_returns": "streaming",
        }  # fmt: skip
        self._functions = {
            function.__name__: ray.remote(function)
            for function in (ray_task.evaluate, ray_task.recall, ray_task.deliver, ray_task.survey)
        }
        self._blobs: dict[str, list[Any]] = {}
        self._running: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nodes: list[dict[str, Any]] = []
        self._look()
        self._tell({"type": "open", "nodes": self._nodes, "token": _asks_token()})

    def take(self, header: dict[str, Any], body: bytes) -> None:
        """Do what the engine asks."""
        do = header["do"]
        if do == "blob":
            self._blobs[header["sha"]] = [self._ray.put(body)]
        elif do == "run":
            self._begin(self._run(header["id"], body, header["blobs"], header["avoid"], header["on"]))
        elif do == "withdraw":
            # A task, too: it begins after that of the evaluation, which may have been read together with it.
            self._begin(self._withdraw(header["id"]))
        elif do == "order":
            orders = [tuple(order) for order in header["orders"]]
            self._begin(self._order(header["node"], orders))
        elif do in ("recall", "survey"):
            self._begin(self._ask(do, header["id"], body, header["blobs"], header["nodes"]))

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, header: dict[str, object], body: bytes = b"") -> None:
        _send(self._writer, header, body)

    async def _run(self, number: int, request: bytes, blobs: list[str], avoid: list[str], on: str) -> None:
        """Submit an evaluation and hand on its messages."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {**self._needs, "scheduling_strategy": "SPREAD"}
        if on:
            # It waits for that machine, unless that is gone.
            options |= {"scheduling_strategy": NodeAffinitySchedulingStrategy(on, soft=True)}
        elif avoid:
            # The scheduling strategy is Ray's default then: SPREAD looks at no labels.
            options |= {
                "scheduling_strategy": "DEFAULT",
                "label_selector": {"ray.io/node-id": f"!in({','.join(avoid)})"},
            }
        remote = self._functions["evaluate"].options(**options)
        try:
            generator = self._running[number] = remote.remote(request, {sha: self._blobs[sha] for sha in blobs})
            async for item in _items(generator):
                self._tell({"type": "item", "id": number}, item)
            self._tell({"type": "end", "id": number})
        except Exception as exc:  # Ray's own, for a loss, and none of a candidate
            self._tell({"type": "lost", "id": number, "kind": type(exc).__name__, "message": _first_lines(exc)})
        finally:
            self._running.pop(number, None)

    async def _withdraw(self, number: int) -> None:
        """End an evaluation, unless it has ended."""
        generator = self._running.get(number)
        if generator is None:
            return
        self._ray.cancel(generator)
        # A task that is just starting may miss it, and goes on unheard; the end of its process ends it in any case.
        await asyncio.sleep(_CANCEL_SECONDS)
        if self._running.get(number) is generator:
            self._ray.cancel(generator, force=True)

    def _on(self, node: str, function: str) -> Any:
        """Return a function to call on a machine, whatever runs there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(node, soft=False)
        return self._functions[function].options(num_cpus=0, max_retries=0, scheduling_strategy=place)

    async def _order(self, node: str, orders: list[tuple[str, str]]) -> None:
        """Deliver orders to evaluations on a machine; one that is gone needs none."""
        try:
            await self._on(node, "deliver").remote(orders)
        except Exception:  # Ray's own; the evaluation's messages tell of the loss
            return

    async def _ask(self, what: str, number: int, request: bytes, blobs: list[str], nodes: list[str]) -> None:
        """Ask machines for something; tell each answer, then that there are no more."""
        given = {sha: self._blobs[sha] for sha in blobs}
        alive = {node["id"] for node in self._nodes}

        async def one(node: str) -> None:
            try:
                answer = await self._on(node, what).remote(request, given)
                if isinstance(answer, bytes):
                    self._tell({"type": "item", "id": number, "node": node}, answer)
            except Exception as exc:  # Ray's own: the machine is gone
                self._tell({"type": "unanswered", "id": number, "node": node, "message": _first_lines(exc)})

        await asyncio.gather(*(one(node) for node in nodes if node in alive))
        self._tell({"type": "end", "id": number})

    # The machines

    async def watch_nodes(self) -> None:
        """Look once a second which machines there are, and tell changes."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before = self._nodes
            await asyncio.to_thread(self._look)
            if self._nodes != before:
                self._tell({"type": "cluster", "nodes": self._nodes})

    def _look(self) -> None:
        found = []
        for node in self._ray.nodes():
            if node["Alive"]:
                address = node["NodeManagerAddress"]
                name = node.get("NodeName") or ""
                found.append({
                    "id": node["NodeID"],
                    "name": name if name and name != address else node.get("NodeManagerHostname") or address,
                    "address": address,
                    "total": {key: value for key, value in node["Resources"].items() if ":" not in key},
                })  # fmt: skip
        found.sort(key=lambda node: (node["name"], node["id"]))
        for node, following in pairwise(found):
            if node["name"] == following["name"]:
                following["name"] += f"-{following['id'][:6]}"
        self._nodes = found


def _asks_token() -> bool:
    import ray._raylet as ray_core

    core: Any = ray_core
    return bool(core.get_authentication_mode() == core.AuthenticationMode.TOKEN)


async def _items(generator: Any) -> AsyncIterator[bytes]:
    async for reference in generator:
        item = await reference
        if not isinstance(item, bytes):
            raise TypeError("a task sent something else than bytes")
        yield item


def _refuse_pickles() -> None:
    """Let Ray unpickle nothing in this process: neither values nor exceptions of tasks.

    Bytes, and losses that Ray itself tells of, it decodes without that.
    """
    from ray import exceptions
    from ray._private.serialization import SerializationContext

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise TypeError("a pickled value was refused")

    SerializationContext._deserialize_pickle5_data = refuse
    exceptions.RayError.from_ray_exception = staticmethod(refuse)
    exceptions.RayError.from_bytes = staticmethod(refuse)


def _first_lines(exc: BaseException) -> str:
    """Return the beginning of what an exception of Ray says, which may be pages of logs."""
    text = " ".join(str(exc).split())
    return (text[:300].rpartition(". ")[0] or text[:300]) if len(text) > 300 else text or type(exc).__name__
