"""The engine's connection to the process that is a Ray driver for it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import EvolveError
from engine.evaluation.supervisor.frames import pack

__all__ = ["RayLink"]

_ROOT = str(Path(__file__).parents[3])
_BRIDGE = "import sys; sys.path.insert(0, sys.argv[1]); from engine.evaluation.executors.ray_bridge import main; main()"
_OPEN_SECONDS = 120.0
_CLOSE_SECONDS = 5.0
_KNOCK_SECONDS = 20.0
_HINT = "'evolve doctor --executor ray' looks at the cluster; docs/cluster.md says how to start one"

Listener = Callable[[dict[str, Any], bytes], None]


class RayLink:
    """One connection; when it is lost, another one takes its place.

    Args:
        process: the driver.
        reader: from it.
        writer: to it.
        opened: its first message.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        opened: dict[str, Any],
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self.opened = opened
        self.sent: set[str] = set()
        """The blobs that it has."""

    @classmethod
    async def open(cls, address: str, needs: dict[str, Any]) -> RayLink:
        """Start a driver and connect it to the cluster.

        Args:
            address: HOST:PORT, or `auto`.
            needs: `cpus`, `gpus` and `custom` resources of an evaluation.

        Raises:
            EvolveError: Ray is not installed, or there is no such cluster.
        """
        await _knock(address)
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _BRIDGE, _ROOT,
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        writer.write(pack({"do": "open", "address": address, **needs}))
        link = cls(process, reader, writer, {})
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                link.opened, _ = await link.receive()
            said = link.opened.get("message", "")
        except TimeoutError:
            said = f"it did not answer within {_OPEN_SECONDS:g} s"
        except (asyncio.IncompleteReadError, OSError):
            said = "Ray ended the process that asked it"
        except BaseException:
            await link.aclose()
            raise
        if not said:
            return link
        await link.aclose()
        if "No module named 'ray'" in said:
            raise EvolveError("Ray is not installed", "Run 'pip install asi-evolve-tui[ray]' in evolve's environment")
        raise EvolveError(f"the Ray cluster at '{address}' cannot be used: {said}", _HINT)

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a message.

        Raises:
            IncompleteReadError, OSError: the connection is lost.
        """
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        head, _, body = (await self._reader.readexactly(size)).partition(b"\n")
        return json.loads(head), body

    def send(self, header: dict[str, object], body: bytes = b"") -> None:
        """Send a message; nothing happens if the connection is lost."""
        self._writer.write(pack(header, body))

    def send_blob(self, sha: str, content: bytes) -> None:
        """Give it a blob that it does not have."""
        if sha not in self.sent:
            self.sent.add(sha)
            self.send({"do": "blob", "sha": sha}, content)

    async def aclose(self) -> None:
        """End it; the cluster ends what it had submitted."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _knock(address: str) -> None:
    """Raise EvolveError if nothing listens at an address: Ray itself tries for a minute before it says so."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or what Ray shall judge
    try:
        async with asyncio.timeout(_KNOCK_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError, OverflowError) as exc:
        why = getattr(exc, "strerror", None) or f"no answer within {_KNOCK_SECONDS:g} s"
        raise EvolveError(f"there is no Ray cluster at {address}: {why}", _HINT) from None
    writer.close()
