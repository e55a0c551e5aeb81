"""The engine's end of the child process that edits programs."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from engine.designers.base import DesignerError
from engine.designers.recombine.messages import (
    Apply,
    Donor,
    Edit,
    Edited,
    Failed,
    Hello,
    Options,
    Reply,
    Survey,
)

__all__ = ["EditorClient"]

_LINE_LIMIT = 64 << 20
_PATIENCE = 2.0
_PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR")


class _Died(Exception):
    """The child ended before it answered."""


class EditorClient:
    """Starts the child at the first request and once more when it dies over a request.

    Args:
        hello: what every child is told first.
        timeout: seconds after which a request is given up and the child is killed with it.
        command: the child's command line; by default this package's worker.
    """

    def __init__(self, hello: Hello, timeout: float = 30.0, command: Sequence[str] | None = None) -> None:
        self._hello = hello
        self._timeout = timeout
        self._command = command or [sys.executable, "-m", "engine.designers.recombine.worker"]
        self._child: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._starting = asyncio.Lock()
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Reply)
        self._next = 1

    async def survey(self, program: str, recipes: list[Donor], nodes: list[Donor]) -> Options:
        """What can be changed in a program.

        Raises:
            DesignerError: the program cannot be read, or the child failed twice.
        """
        reply = await self._ask(Survey(self._number(), program, recipes, nodes))
        assert isinstance(reply, Options)
        return reply

    async def apply(self, program: str, edits: list[Edit]) -> Edited:
        """The program with edits.

        Raises:
            DesignerError: the program cannot be read, or the child failed twice.
        """
        reply = await self._ask(Apply(self._number(), program, edits))
        assert isinstance(reply, Edited)
        return reply

    async def aclose(self) -> None:
        """End the child; it goes at the end of its stdin, else it is killed."""
        child, reader = self._child, self._reader
        self._child = self._reader = None
        if child is not None:
            assert child.stdin is not None
            child.stdin.close()
            await _end(child)
        if reader is not None:
            await asyncio.gather(reader, return_exceptions=True)

    def _number(self) -> int:
        self._next += 1
        return self._next

    async def _ask(self, request: Survey | Apply) -> Reply:
        try:
            line = self._encoder.encode(request) + b"\n"
        except UnicodeEncodeError as exc:
            raise DesignerError(f"the program is no valid text: {exc}") from None
        for last in (False, True):
            try:
                reply = await self._ask_once(request.id, line)
            except _Died as exc:
                if last:
                    raise DesignerError(f"the editor process died twice over one request ({exc})") from None
            else:
                if isinstance(reply, Failed):
                    raise DesignerError(reply.error)
                return reply
        raise AssertionError

    async def _ask_once(self, number: int, line: bytes) -> Reply:
        async with self._starting:
            child = await self._running()
        assert child.stdin is not None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            with suppress(ConnectionError):
                child.stdin.write(line)
                await child.stdin.drain()
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            # It is stuck with this program and would keep everybody else waiting.
            await _kill(child)
            raise DesignerError(f"the editor process gave no answer in {self._timeout:g} s") from None
        finally:
            self._waiting.pop(number, None)

    async def _running(self) -> Process:
        if self._child is not None and self._reader is not None and not self._reader.done():
            return self._child
        try:
            # A session of its own: what the terminal sends to the engine's group is the engine's affair.
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=_LINE_LIMIT,
                start_new_session=True,
                # It reads programs of models: the keys in the engine's environment are none of its business.
                env={name: os.environ[name] for name in _PASSED if name in os.environ},
            )
        except OSError as exc:
            raise DesignerError(f"the editor process cannot be started: {exc}") from None
        assert child.stdin is not None
        child.stdin.write(self._encoder.encode(self._hello) + b"\n")
        self._child = child
        self._reader = asyncio.create_task(self._read(child), name="recombine editor")
        return child

    async def _read(self, child: Process) -> None:
        """Hand answers to those who wait for them, until the child's stdout ends."""
        assert child.stdout is not None
        reason = "its output ended"
        try:
            while line := await child.stdout.readline():
                reply = self._decoder.decode(line)
                future = self._waiting.get(reply.id)
                if future is not None and not future.done():
                    future.set_result(reply)
        except (msgspec.DecodeError, ValueError) as exc:
            reason = f"it wrote nonsense: {exc}"
        finally:
            await _end(child)
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_Died(f"{reason}, exit code {child.returncode}"))


async def _end(child: Process) -> None:
    """Wait for a child that ends by itself; kill it if it does not."""
    try:
        await asyncio.wait_for(child.wait(), _PATIENCE)
    except TimeoutError:
        await _kill(child)


async def _kill(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
    await child.wait()
