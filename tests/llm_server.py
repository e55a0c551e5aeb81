"""A real HTTP server on loopback for OpenAI's chat completions and Responses API that can misbehave as told."""

from __future__ import annotations

import itertools
import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

__all__ = ["REPORT", "LlmServer", "Reply", "Request", "error", "llm_server", "response_events", "response_of", "search"]


@dataclass(frozen=True)
class Request:
    """One request as received."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    """Number from 0, over all requests for an answer."""
    path: str = "/v1/chat/completions"

    @property
    def text(self) -> str:
        """Return all messages of the prompt."""
        items = self.body["messages"] if "messages" in self.body else self.body["input"]
        return "\n".join(
            [
                *([self.body["instructions"]] if "instructions" in self.body else []),
                *(item["content"] for item in items if isinstance(item.get("content"), str)),
            ]
        )

    @property
    def schema(self) -> dict[str, Any] | None:
        """Return the schema that the answer is to follow."""
        if "response_format" in self.body:
            schema: dict[str, Any] = self.body["response_format"]["json_schema"]["schema"]
            return schema
        form = self.body.get("text", {}).get("format")
        return form["schema"] if form else None


@dataclass(frozen=True)
class Reply:
    """The server's reaction to a request."""

    text: str = ""
    reasoning: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | list[Any] | str = ""
    """The body of a response that is not a stream."""
    raw: bytes = b""
    """All bytes of a body that ends with the connection, to misbehave in ways of which there is no other word here."""
    pieces: int = 5
    """Number of pieces to send the text in."""
    before: float = 0.0
    """Seconds before the first piece."""
    alive: float = 0.0
    """Seconds between comments sent in place of silence before the first piece; 0: silence."""
    pause: float = 0.0
    """Seconds before every further piece."""
    finish: str = "stop"
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    )
    end: Literal["done", "silent", "close", "reset", "garbage", "error", "endless", "looping", "unanswered"] = "done"
    """After half of the pieces: fall silent, close the connection, reset it, send text that is not JSON, send an error;
    or count for ever, or say the text over and over; or close the connection without an answer."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the last delta."""


def error(status: int, message: str, code: str = "", **headers: str) -> Reply:
    """Return a refusal in the form that vendors use."""
    body = {"error": {"message": message, "type": "error", "code": code or None}}
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class _Gone(Exception):
    """The client has hung up."""


class LlmServer:
    """Serve until closed; keep all requests in `requests`.

    Args:
        answer: the reaction to a request once `script` is empty.
        listens: whether it serves from the start; until `listen`, its port is its own and refuses connections.
    """

    def __init__(self, answer: Callable[[Request], Reply] | None = None, listens: bool = True) -> None:
        self.answer: Callable[[Request], Reply] = answer or (lambda request: Reply(f"answer {request.number}"))
        """The reaction once `script` is empty."""
        self.script: deque[Reply] = deque()
        self.requests: list[Request] = []
        self.key = ""
        """The required Authorization header, if any; a refusal repeats the wrong one."""
        self.models: list[str] = []
        """Known model names; empty: any."""
        self.apis = {"chat/completions", "responses"}
        """What it offers below its address."""
        self.listing: Reply | None = None
        """The answer to a request for the list of models, if it is not the usual one."""
        self.hung_up = threading.Event()
        """Set when a client has closed a connection before the end of the answer."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body are two packets: the second would wait for the client's delayed acknowledgement.
            disable_nagle_algorithm = True

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

        self._server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.server_bind()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        if listens:
            self.listen()

    def listen(self) -> None:
        """Begin to serve."""
        self._server.server_activate()
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
        _send(handler, refused or self.listing or Reply(body=listed))

    def _refusal(self, handler: BaseHTTPRequestHandler) -> Reply | None:
        given = handler.headers.get("Authorization", "")
        if self.key and given != f"Bearer {self.key}":
            return error(401, f"the header Authorization: {given} is no good", "invalid_api_key")
        return None

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        refused = self._refusal(handler)
        path = handler.path.split("/v1/")[-1]
        if refused is None and path not in self.apis:
            refused = Reply(status=404, body={"detail": "Not Found"})
        if refused is None and self.models and body["model"] not in self.models:
            refused = error(404, f"the model {body['model']} does not exist", "model_not_found")
        with self._lock:
            request = Request(
                body,
                {name.lower(): value for name, value in handler.headers.items()},
                len(self.requests),
                handler.path,
            )
            self.requests.append(request)
            scripted = self.script.popleft() if self.script and refused is None else None
        try:
            reply = refused or scripted or self.answer(request)
            if reply.end == "unanswered":
                handler.close_connection = True
            elif reply.raw:
                _send_raw(handler, reply)
            elif reply.status != 200 or reply.body:
                self._wait(handler, reply.before)
                _send(handler, reply)
            elif path == "responses":
                self._wait(handler, reply.before)
                _send_raw(handler, replace(reply, raw=response_events(reply)))
            else:
                self._stream(handler, reply)
        except (_Gone, OSError):
            self.hung_up.set()
            handler.close_connection = True

    def _stream(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if not reply.alive:
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

        if reply.alive:
            deadline = time.monotonic() + reply.before
            while time.monotonic() < deadline:
                handler.wfile.write(b"d\r\n: PROCESSING\n\r\n")
                self._wait(handler, reply.alive)
        delta({"role": "assistant", "content": ""})
        if reply.reasoning:
            delta({"reasoning_content": reply.reasoning})
        pieces = _pieces(reply.text, reply.pieces)
        if reply.end not in ("done", "endless", "looping"):
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
            case "endless" | "looping":
                for number in itertools.count(step=1000):
                    self._wait(handler, 0.0)
                    counted = " ".join(map(str, range(number, number + 1000)))
                    delta({"content": counted if reply.end == "endless" else reply.text})
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


def response_events(reply: Reply, *, final: bool = True, items: bool = True) -> bytes:
    """Return the events by which the Responses API streams an answer.

    Args:
        reply: the answer; `finish` is a status, or the reason of an incomplete response.
        final: whether the last event holds the whole response.
        items: whether the events on items come.
    """
    status = reply.finish if reply.finish in ("failed", "cancelled") else "completed"
    status = status if reply.finish in ("stop", status) else "incomplete"
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"object": "response", "status": "in_progress"}}
    ]
    output = _output_of(reply)
    for index, item in enumerate(output):
        place = {"item_id": item["id"], "output_index": index}
        if items:
            added = {**item, "content": [], "encrypted_content": "part"}
            said.append({"type": "response.output_item.added", "output_index": index, "item": added})
        if item["type"] == "reasoning":
            said += [
                {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": piece, **place}
                for piece in _pieces(reply.reasoning, 2)
            ]
        else:
            said += [
                {"type": "response.output_text.delta", "content_index": 0, "delta": piece, **place}
                for piece in _pieces(reply.text, reply.pieces)
            ]
            said.append({"type": "response.output_text.done", "content_index": 0, "text": reply.text, **place})
        if items:
            said.append({"type": "response.output_item.done", "output_index": index, "item": item})
    whole = response_of(reply, status)
    said.append({"type": f"response.{status}", "response": whole if final else {"status": status}})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in said)


def response_of(reply: Reply, status: str = "completed") -> dict[str, Any]:
    """Return a whole response."""
    usage = reply.usage
    if usage is not None and "prompt_tokens" in usage:
        usage = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": usage.get("cached", 0)},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": usage.get("thoughts", 0)},
            "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"],
        }
    return {
        "id": "resp_1", "object": "response", "status": status, "error": None, "output": _output_of(reply),
        "usage": usage,
        "incomplete_details": {"reason": reply.finish} if status == "incomplete" else None, **reply.extra,
    }  # fmt: skip


def _output_of(reply: Reply) -> list[dict[str, Any]]:
    thought = {
        "type": "reasoning", "id": "rs_1", "encrypted_content": f"sealed {len(reply.reasoning)}",
        "summary": [{"type": "summary_text", "text": reply.reasoning}],
    }  # fmt: skip
    text = {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": reply.text, "annotations": []}],
    }  # fmt: skip
    return [thought, text] if reply.reasoning else [text]


def _pieces(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    raw = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
    if "Date" in reply.headers:
        handler.send_response_only(reply.status)
    else:
        handler.send_response(reply.status)
    if "Content-Type" not in reply.headers:
        handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(raw)))
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(raw)


def _send_raw(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    for name, value in {"Content-Type": "text/event-stream", "Connection": "close", **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(reply.raw)
    handler.close_connection = True


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
    from tests.conftest import SEED  # benches use the server where pytest is not installed

    if request.schema is not None:
        names = request.schema["properties"]
        judged = {name: {"reason": "it does", "score": 0.5} for name in names}
        return Reply(json.dumps(REPORT if "lesson" in names else judged))
    code = SEED.replace("X = 0.5", f"X = {0.5 + (request.number + 1) / 64}")
    return Reply(f"<name>step {request.number}</name>\n<motivation>nearer</motivation>\n<program>\n{code}</program>\n")
