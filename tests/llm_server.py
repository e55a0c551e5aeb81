"""A real HTTP server on loopback for OpenAI's chat completions that can misbehave as told."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.conftest import SEED

__all__ = ["LlmServer", "Reply", "Request", "error", "llm_server", "search"]


@dataclass(frozen=True)
class Request:
    """One request as received."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    """Number from 0, over all requests for an answer."""

    @property
    def text(self) -> str:
        """Return all messages of the prompt."""
        return "\n".join(message["content"] for message in self.body["messages"])


@dataclass(frozen=True)
class Reply:
    """The server's reaction to a request."""

    text: str = ""
    reasoning: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | str = ""
    """The body of a response that is not a stream."""
    pieces: int = 5
    """Number of pieces to send the text in."""
    before: float = 0.0
    """Seconds before the first piece."""
    pause: float = 0.0
    """Seconds before every further piece."""
    finish: str = "stop"
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    )
    end: Literal["done", "silent", "close", "reset", "garbage", "error", "endless", "unanswered"] = "done"
    """After half of the pieces: fall silent, close the connection, reset it, send text that is not JSON, send an error;
    or never end; or close the connection without an answer."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the last delta."""


def error(status: int, message: str, code: str = "", **headers: str) -> Reply:
    """Return a refusal in the form that vendors use."""
    body = {"error": {"message": message, "type": "error", "code": code or None}}
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class _Gone(Exception):
    """The client has hung up."""


class LlmServer:
    """Serve until closed; keep all requests in `requests`."""

    def __init__(self, answer: Callable[[Request], Reply] | None = None, port: int = 0) -> None:
        self.answer: Callable[[Request], Reply] = answer or (lambda request: Reply(f"answer {request.number}"))
        """The reaction once `script` is empty."""
        self.script: deque[Reply] = deque()
        self.requests: list[Request] = []
        self.key = ""
        """The required Authorization header, if any; a refusal repeats the wrong one."""
        self.models: list[str] = []
        """Known model names; empty: any."""
        self.hung_up = threading.Event()
        """Set when a client has closed a connection before the end of the answer."""
        self.open = 0
        """Requests in flight."""
        self.most_open = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._list_models(self)

            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close at once; further connections are refused."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _list_models(self, handler: BaseHTTPRequestHandler) -> None:
        refused = self._refusal(handler)
        listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        _send(handler, refused or Reply(body=listed))

    def _refusal(self, handler: BaseHTTPRequestHandler) -> Reply | None:
        given = handler.headers.get("Authorization", "")
        if self.key and given != f"Bearer {self.key}":
            return error(401, f"the header Authorization: {given} is no good", "invalid_api_key")
        return None

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        refused = self._refusal(handler)
        if refused is None and self.models and body["model"] not in self.models:
            refused = error(404, f"the model {body['model']} does not exist", "model_not_found")
        with self._lock:
            request = Request(
                body, {name.lower(): value for name, value in handler.headers.items()}, len(self.requests)
            )
            self.requests.append(request)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            scripted = self.script.popleft() if self.script and refused is None else None
        try:
            reply = refused or scripted or self.answer(request)
            if reply.end == "unanswered":
                handler.close_connection = True
            elif reply.status != 200 or reply.body:
                self._wait(handler, reply.before)
                _send(handler, reply)
            else:
                self._stream(handler, reply)
        except (_Gone, OSError):
            self.hung_up.set()
            handler.close_connection = True
        finally:
            with self._lock:
                self.open -= 1

    def _stream(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        self._wait(handler, reply.before)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()

        def say(data: str) -> None:
            raw = f"data: {data}\n\n".encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
            handler.wfile.flush()

        def delta(content: dict[str, Any], finish: str | None = None, **more: Any) -> None:
            choices = [{"index": 0, "delta": content, "finish_reason": finish}]
            say(json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": choices, **more}))

        delta({"role": "assistant", "content": ""})
        if reply.reasoning:
            delta({"reasoning_content": reply.reasoning})
        pieces = _pieces(reply.text, reply.pieces)
        if reply.end not in ("done", "endless"):
            pieces = pieces[: len(pieces) // 2]
        for number, piece in enumerate(pieces):
            self._wait(handler, reply.pause if number else 0.0)
            delta({"content": piece})
        match reply.end:
            case "silent":
                self._wait(handler, 3600.0)
            case "close":
                # An orderly end in the middle of a response.
                handler.wfile.write(b"0\r\n\r\n")
                handler.close_connection = True
                return
            case "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.connection.shutdown(socket.SHUT_WR)
                handler.close_connection = True
                return
            case "garbage":
                say('{"choices": [{"delta": ')
                handler.wfile.write(b"0\r\n\r\n")
                return
            case "error":
                say(json.dumps({"error": {"message": "the engine's process died", "code": None}}))
                handler.wfile.write(b"0\r\n\r\n")
                return
            case "endless":
                while True:
                    self._wait(handler, 0.0)
                    delta({"content": "more and more " * 1000})
        delta(reply.extra, reply.finish)
        if reply.usage is not None:
            say(json.dumps({"id": "x", "choices": [], "usage": reply.usage}))
        say("[DONE]")
        handler.wfile.write(b"0\r\n\r\n")

    def _wait(self, handler: BaseHTTPRequestHandler, seconds: float) -> None:
        """Wait, and notice if the client hangs up."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([handler.connection], [], [], min(left, 0.05))
            if readable and not handler.connection.recv(1, socket.MSG_PEEK):
                raise _Gone
            if left == 0.0:
                return
            if self._closing.is_set():
                raise _Gone


def _pieces(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    raw = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
    if "Date" in reply.headers:
        handler.send_response_only(reply.status)
    else:
        handler.send_response(reply.status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(raw)))
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(raw)


@contextmanager
def llm_server(answer: Callable[[Request], Reply] | None = None) -> Iterator[LlmServer]:
    """Run a server during a test."""
    server = LlmServer(answer)
    try:
        yield server
    finally:
        server.close()


REPORT = {
    "note": "It moved.",
    "lesson": "Smaller steps pay.",
    "causes": ["the point is nearer"],
    "next_step": "go on",
    "priors": [],
}


def search(request: Request) -> Reply:
    """Answer like a model on the task of `conftest`: a new program, a report or a mark."""
    if "response_format" in request.body:
        names = request.body["response_format"]["json_schema"]["schema"]["properties"]
        judged = {name: {"reason": "it does", "score": 0.5} for name in names}
        return Reply(json.dumps(REPORT if "lesson" in names else judged))
    code = SEED.replace("X = 0.5", f"X = {0.5 + (request.number + 1) / 64}")
    return Reply(f"<name>step {request.number}</name>\n<motivation>nearer</motivation>\n<program>\n{code}</program>\n")
