"""The engine's client of the child process that edits programs."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from typing import cast

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
_DECODER = msgspec.json.Decoder(Reply)
_ENCODER = msgspec.json.Encoder()


class _Died(Exception):
    """The child ended before it answered."""


class _Child(asyncio.SubprocessProtocol):
    """One child process. Answers go directly to their waiters: each task in between would delay a round."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[asyncio.Future[Reply], float]] = {}
        """By request, who waits for its answer, and until when."""
        self._timer: asyncio.TimerHandle | None = None
        """One for all of them: most answers come within a thousandth of the time that they may take."""
        self._line = bytearray()
        """The received part of an incomplete answer."""
        self._reason = "its output ended"
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._transport.get_pid() or 0

    @property
    def returncode(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._transport.get_returncode()

    async def ask(self, number: int, line: bytes, seconds: float) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: there was no answer in time.
            _Died: the child ended first.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[number] = future, self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._expire)
        try:
            self.write(line)
            return await future
        finally:
            del self._waiting[number]

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for future, until in self._waiting.values():
            if until <= now and not future.done():
                future.set_exception(TimeoutError())
        later = [until for future, until in self._waiting.values() if not future.done()]
        if later:
            self._timer = self._loop.call_at(min(later), self._expire)

    def write(self, line: bytes) -> None:
        """Send a line."""
        self._stdin.write(line)

    def close(self) -> None:
        """End it: close its stdin, and kill it if it does not exit."""
        self._stdin.close()
        self._loop.call_later(_PATIENCE, self.kill)

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        if self.returncode is None:
            self._transport.kill()

    # Callbacks for asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._answer(bytes(self._line) + end)
            self._line.clear()
        self._line += rest
        if len(self._line) > _LINE_LIMIT:
            self._refuse("a line without an end")

    def _answer(self, line: bytes) -> None:
        try:
            reply = _DECODER.decode(line)
        except (msgspec.DecodeError, ValueError) as exc:
            self._refuse(str(exc))
            return
        waiting = self._waiting.get(reply.id)
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(reply)

    def _refuse(self, what: str) -> None:
        self._reason = f"it wrote nonsense: {what}"
        self.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._loop.call_later(_PATIENCE, self.kill)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended and its pipes are closed."""
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(_Died(f"{self._reason}, exit code {self.returncode}"))


class EditorClient:
    """Start the child at the first request, and once more if it dies during a request.

    Args:
        hello: the first message to every child.
        timeout: seconds after which a request fails and the child is killed.
        command: the child's command line; by default this package's worker.
    """

    def __init__(self, hello: Hello, timeout: float = 30.0, command: Sequence[str] | None = None) -> None:
        self._hello = hello
        self._timeout = timeout
        self._command = command or [sys.executable, "-m", "engine.designers.recombine.worker"]
        self._child: _Child | None = None
        self._starting = asyncio.Lock()
        self._next = 1

    async def survey(self, program: str, recipes: list[Donor], nodes: list[Donor]) -> Options:
        """Return the possible changes of a program.

        Raises:
            DesignerError: the program cannot be read, or the child failed twice.
        """
        reply = await self._ask(Survey(self._number(), program, recipes, nodes))
        assert isinstance(reply, Options)
        return reply

    async def apply(self, program: str, edits: list[Edit]) -> Edited:
        """Apply edits to a program and return it.

        Raises:
            DesignerError: the program cannot be read, or the child failed twice.
        """
        reply = await self._ask(Apply(self._number(), program, edits))
        assert isinstance(reply, Edited)
        return reply

    async def aclose(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.close()
            await child.ended

    def _number(self) -> int:
        self._next += 1
        return self._next

    async def _ask(self, request: Survey | Apply) -> Reply:
        try:
            line = _ENCODER.encode(request) + b"\n"
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
        child = self._child
        if child is None or child.ended.done():
            async with self._starting:
                child = await self._running()
        try:
            return await child.ask(number, line, self._timeout)
        except TimeoutError:
            # It hangs on this program and would block all other requests.
            child.kill()
            await asyncio.shield(child.ended)
            raise DesignerError(f"the editor process gave no answer in {self._timeout:g} s") from None

    async def _running(self) -> _Child:
        if self._child is not None and not self._child.ended.done():
            return self._child
        try:
            # A session of its own, so that signals from the terminal to the engine's group do not reach it.
            _, child = await asyncio.get_running_loop().subprocess_exec(
                _Child,
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
                # It reads programs written by models, so it must not have the keys in the engine's environment.
                env={name: os.environ[name] for name in _PASSED if name in os.environ},
            )
        except OSError as exc:
            raise DesignerError(f"the editor process cannot be started: {exc}") from None
        child.write(_ENCODER.encode(self._hello) + b"\n")
        self._child = child
        return child
