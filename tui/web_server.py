"""Serve the application to browsers on this machine, by textual-serve: one process of the application a connection.

It listens on the loopback interface alone. Pages of other sites may reach that, too, through the browser of whoever
visits them: so each request must name this server as its host, and one that tells its origin must come from here.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from engine.errors import UsageError
from tui.web import STEER, VARIABLE

__all__ = ["WebServer"]

HOST = "127.0.0.1"
_MOST = 8
"""Connections at once, each a process of some 60 MB."""
_HEARTBEAT_SECONDS = 15
"""A browser that answers no ping within half of this is gone: its link may be dead without a word."""
_MOST_CELLS = 1000
_LEAVE_SECONDS = 1.0
"""How long an end waits for browsers: they look for as long as they like, so that no wait would be enough."""


class WebServer(Server):  # type: ignore[misc]
    """Serves one folder of runs.

    Args:
        runs: the folder.
        run: the name of the run to show first; empty for the list of runs.
        port: where to listen; 0 for any free port.
        steer: whether whoever knows the token may steer.

    Raises:
        UsageError: the port is taken, or may not be used.
    """

    def __init__(self, runs: Path, run: str, port: int, steer: bool) -> None:
        self._socket = _listen(port)
        port = self._socket.getsockname()[1]
        command = shlex.join([sys.executable, "-m", "tui.web", str(runs), *([run] if run else [])])
        super().__init__(command, host=HOST, port=port, title=f"evolve {run}".strip())
        self._token = secrets.token_urlsafe(24) if steer else ""
        self._cookie = f"evolve_{port}"
        self._connected: set[web.WebSocketResponse] = set()

    @property
    def addresses(self) -> dict[str, str]:
        """Where to look, and where to steer if that is allowed."""
        found = {"read": f"{self.public_url}/"}
        return found | ({"steer": f"{self.public_url}/?token={self._token}"} if self._token else {})

    def run(self) -> None:
        """Serve until interrupted."""
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
        web.run_app(self._make_app(), sock=self._socket, print=None, access_log=None, shutdown_timeout=_LEAVE_SECONDS)

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._checked())
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: the command line has said where it serves."""

    def _checked(self) -> Any:
        async def check(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            own = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
            origin = request.headers.get("Origin")
            if request.host not in own or (origin is not None and origin not in {f"http://{name}" for name in own}):
                raise web.HTTPForbidden(text="this server answers only pages of its own\n")
            if request.path == "/" and (request.host != f"{HOST}:{self.port}" or "token" in request.query):
                return self._enter(request)
            response = await handler(request)
            if not response.prepared:
                response.headers.update(self._headers())
            return response

        return web.middleware(check)

    def _enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange the token in an address for a cookie, so that neither history nor a reload keeps it."""
        entered = web.HTTPSeeOther(f"{self.public_url}/")
        token = request.query.get("token", "")
        if token:
            if not self._is_token(token):
                raise web.HTTPForbidden(text="this token is not, or no longer, valid\n")
            entered.set_cookie(self._cookie, token, httponly=True, samesite="Strict", path="/")
        raise entered

    def _is_token(self, text: str) -> bool:
        return bool(self._token) and hmac.compare_digest(text.encode(), self._token.encode())

    def _headers(self) -> dict[str, str]:
        # The page of textual-serve asks another site for a font: nothing of a run's address leaves this machine.
        own = f"'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws://{HOST}:{self.port}"
        return {
            # Else a browser keeps a page that was left, and its connection, for minutes.
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src {own}; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Start an application for a browser, which steers if it has the token; end it when the browser goes."""
        if len(self._connected) >= _MOST:
            raise web.HTTPServiceUnavailable(text=f"{_MOST} browsers look already\n")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS)
        if not socket.can_prepare(request):
            raise web.HTTPBadRequest(text="this address is for WebSockets; open the page instead\n")
        rights = STEER if self._is_token(request.cookies.get(self._cookie, "")) else "read"
        # Without exec a shell would stand between us and the application.
        service = _Application(
            f"exec env {VARIABLE}={rights} {self.command}",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=socket.close,
            download_manager=self.download_manager,
        )
        self._connected.add(socket)
        try:
            await socket.prepare(request)
            await service.start(_cells(request, "width", 80), _cells(request, "height", 24))
            await self._process_messages(socket, service)
        except ConnectionError:
            pass
        finally:
            self._connected.discard(socket)
            await asyncio.shield(service.end())
        return socket

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        """Hand on what the browser sends; leave out what makes no sense."""
        async for message in websocket:
            try:
                kind, *more = msgspec.json.decode(
                    message.data if message.type == WSMsgType.TEXT else b"", type=list[Any]
                )
                match kind, more:
                    case "stdin", [str(keys)]:
                        await app_service.send_bytes(keys.encode("utf-8", "replace"))
                    case "resize", [{"width": int(width), "height": int(height)}]:
                        await app_service.set_terminal_size(_bounded(width), _bounded(height))
                    case "ping", [data]:
                        await websocket.send_json(["pong", data])
                    case "blur", _:
                        await app_service.blur()
                    case "focus", _:
                        await app_service.focus()
            except (msgspec.DecodeError, ValueError):
                continue


class _Application(AppService):  # type: ignore[misc]
    """The application of one connection."""

    async def end(self) -> None:
        """End its process: it is asked to leave, and soon killed."""
        process = self._process
        if process is None:
            return

        async def leave() -> None:
            await self.stop()
            await process.wait()

        leaving = asyncio.create_task(leave())
        # Not by asyncio.timeout: the task that `stop` waits for swallows a cancellation, and would be waited for on.
        await asyncio.wait([leaving], timeout=_LEAVE_SECONDS)
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


def _cells(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    return _bounded(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else otherwise


def _bounded(cells: int) -> int:
    return max(1, min(cells, _MOST_CELLS))


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as exc:
        listening.close()
        raise UsageError(f"port {port} cannot be used: {exc.strerror}", "--port 0 takes any that is free") from None
    except OverflowError:
        listening.close()
        raise UsageError(f"there is no port {port}: they are 0 to 65535") from None
    listening.listen(16)
    return listening
