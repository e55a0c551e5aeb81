"""Variables of the environment around requests to models: what is wrong is named, and loopback is reached directly."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engine.cli.doctor_models import check_calls, check_environment, check_models
from engine.llm import environment
from engine.llm.client import Client, Spent
from engine.llm.faults import Fault
from engine.llm.messages import Message
from engine.llm.models_listed import list_models
from engine.settings.models import ModelSpec
from tests.llm_server import LlmServer, Reply, Request, error, llm_server

REMOTE = "http://model.example/v1"


@pytest.fixture(scope="module")
def served() -> Iterator[LlmServer]:
    with llm_server() as server:
        yield server


@pytest.fixture
def server(served: LlmServer, monkeypatch: pytest.MonkeyPatch) -> LlmServer:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    served.answer = lambda request: Reply("fine")
    served.listing = None
    served.requests.clear()
    return served


@pytest.fixture
def dead() -> str:
    """Return an address at which nothing answers."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


async def ask(address: str, **spec: Any) -> str | Fault:
    """Return the answer of a model at an address, or the fault."""
    client = Client(asyncio.sleep)
    chosen = ModelSpec(**{"model": "m", "base_url": address, "key_env": "", "retries": 0, **spec})
    try:
        return (await client.ask(chosen, [Message("user", "hello")], Spent(), lambda *piece: None)).text
    except Fault as fault:
        return fault
    finally:
        await client.aclose()


PROBLEMS = [
    ("ALL_PROXY", "socks4://127.0.0.1:1", "ALL_PROXY names a proxy of a kind that is not known here (socks4)"),
    ("https_proxy", "http://[::1", "https_proxy holds no address of a proxy"),
    ("HTTP_PROXY", "http://127.0.0.1:99999", "HTTP_PROXY holds no address of a proxy"),
    ("SSL_CERT_FILE", "/nowhere/certificates.pem", "SSL_CERT_FILE names /nowhere/certificates.pem"),
    ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR names /nowhere, which is no folder"),
    ("SSLKEYLOGFILE", "/nowhere/keys", "SSLKEYLOGFILE names /nowhere/keys"),
    ("OPENAI_ORG_ID", "org-Ünı", "OPENAI_ORG_ID holds a character that no request can carry"),
    ("OPENAI_PROJECT_ID", "a\nb", "OPENAI_PROJECT_ID holds a character"),
]


@pytest.mark.parametrize(("name", "value", "says"), PROBLEMS)
async def test_variable_that_keeps_models_from_being_asked_is_named(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    fault = await ask(REMOTE)
    listed = list_models(ModelSpec(model="m", base_url=REMOTE, key_env=""), 5.0)
    for found in (fault, listed):
        assert isinstance(found, Fault)
        assert (found.kind, says in found.message) == ("environment", True), found.message
    check = check_environment([ModelSpec(model="m", base_url=REMOTE)])
    assert check.state == "bad" and says in check.found


async def test_socks_proxy_without_its_package_is_told(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setattr(
        environment, "find_spec", lambda name: None if name == "socksio" else importlib.util.find_spec(name)
    )
    fault = await ask(REMOTE)
    assert isinstance(fault, Fault) and fault.kind == "environment"
    assert "ALL_PROXY names a SOCKS proxy" in fault.message and "asi-evolve-tui[socks]" in fault.message


async def test_loopback_is_asked_without_a_proxy(server: LlmServer, monkeypatch: pytest.MonkeyPatch, dead: str) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{dead}")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert await ask(server.url) == "fine"
    assert await ask(server.url.replace("127.0.0.1", "localhost")) == "fine"
    assert isinstance(list_models(ModelSpec(model="m", base_url=server.url, key_env=""), 5.0), list)


async def test_dead_proxy_is_blamed_and_not_the_endpoint(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, dead: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://name:secret@{dead}")
    fault = await ask(REMOTE)
    assert isinstance(fault, Fault) and (fault.kind, fault.passing) == ("down", True)
    assert f"the proxy {dead} (HTTP_PROXY) does not let us through" in fault.message
    assert "secret" not in fault.message
    assert f"through the proxy {dead} (HTTP_PROXY)" in check_environment([ModelSpec(model="m", base_url=REMOTE)]).found
    monkeypatch.setenv("NO_PROXY", "model.example")
    assert environment.proxy_of(REMOTE) == ""


async def test_proxy_that_refuses_is_blamed(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # It knows no CONNECT.
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
    fault = await ask("https://model.example/v1")
    assert isinstance(fault, Fault) and fault.kind == "down"
    assert f"the proxy 127.0.0.1:{server.port} (HTTPS_PROXY)" in fault.message


@contextmanager
def socks_proxy(port: int) -> Iterator[int]:
    """Run a SOCKS5 proxy for one connection, which leads to a port of this machine whatever is asked for."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        inner, _ = listener.accept()
        with inner, socket.create_connection(("127.0.0.1", port)) as outer:
            inner.recv(16)
            inner.sendall(b"\x05\x00")
            inner.recv(512)
            inner.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            back = threading.Thread(target=pump, args=(outer, inner))
            back.start()
            pump(inner, outer)
            back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(90)
        listener.close()


async def test_socks_proxy_is_used(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socks_proxy(server.port) as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        assert await ask(REMOTE) == "fine"


# The list of models, and a call of each role


LISTS: list[tuple[Any, list[str] | str]] = [
    ({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, ["a", "b"]),
    ([{"id": "a"}, {"name": "b"}], ["a", "b"]),
    (["a", "b"], ["a", "b"]),
    ({"data": ["a"]}, ["a"]),
    ({"models": [{"name": "a"}, {"model": "b"}]}, ["a", "b"]),
    ({"models": {"a": {}, "b": {}}}, ["a", "b"]),
    ({"data": [{"object": "model"}, None, 7, {"id": None}]}, []),
    ({"data": None}, []),
    ("null", []),
    ("7", []),
    ("<html><h1>Login</h1></html>", "it answered HTML"),
    ("It works!", "it answered 'It works!'"),
    ({"error": "Unexpected endpoint or method. (GET /models)"}, "/v1"),
    ({"error": {"code": 401, "message": "no"}}, "key"),
]


@pytest.mark.parametrize(("body", "expected"), LISTS)
def test_any_list_of_models_is_read(server: LlmServer, body: Any, expected: list[str] | str) -> None:
    server.listing = Reply(body=body or "[]")
    spec = ModelSpec(model="a", base_url=server.url, key_env="")
    listed = list_models(spec, 5.0)
    if isinstance(expected, list):
        assert listed == expected
    else:
        assert isinstance(listed, Fault) and expected in listed.message
    (check,) = check_models({"m": spec})
    assert check.name == "model m" and check.state in ("ok", "note", "bad")


def test_endpoint_without_a_list_is_no_fault(server: LlmServer) -> None:
    server.listing = error(404, "Not Found")
    (check,) = check_models({"m": ModelSpec(model="a", base_url=server.url, key_env="")})
    assert (check.state, "lists no models" in check.found) == ("note", True)


def _short(request: Request) -> Reply:
    if "response_format" in request.body:
        return error(400, "response_format is not supported")
    asked = request.text
    if '"lesson"' in asked:
        return Reply('{"lesson": "Adding is as fast."}', reasoning="hm", usage=None)
    if '"score"' in asked:
        return Reply('{"plain": {"reason": "short", "score": 1}}')
    return Reply("<program>\ndef double(x):\n    return 2 * x\n</program>")


def test_call_of_each_role_says_what_endpoint_can_do(server: LlmServer) -> None:
    server.answer = _short
    spec = ModelSpec(model="a", base_url=server.url, key_env="", price_in=1.0, price_out=1.0)
    found = {check.name: check for check in check_calls({"m": spec})}
    assert list(found) == ["call m researcher", "call m analyzer", "call m judge", "call m fixer"]
    assert found["call m researcher"].state == "ok"
    for words in ("streams", "counts tokens", "no thoughts", "tokens/s", "100 + 20 tokens, $0.000120"):
        assert words in found["call m researcher"].found
    for words in ("counts no tokens", "takes no schema", "thoughts in reasoning_content"):
        assert words in found["call m analyzer"].found
    assert "response_format is not supported" in found["call m analyzer"].advice
    assert found["call m judge"].advice == "", "it is told once"
    assert len(server.requests) == 5


def test_call_says_what_endpoint_leaves_undone(server: LlmServer) -> None:
    """An endpoint may take a schema and not keep to it, and have a limit of tokens of its own."""
    server.answer = lambda request: Reply(
        '```json\n{"plain": {"reason": "short", "score": 1}, "lesson": "Adding is as fast."}\n```'
        if "response_format" in request.body
        else "<program>\ndef double(x):",
        finish="stop" if "response_format" in request.body else "length",
    )
    found = {check.name: check for check in check_calls({"m": ModelSpec(model="a", base_url=server.url, key_env="")})}
    assert "takes a schema, but does not keep to it" in found["call m judge"].found
    assert "the answer was cut off at 20 tokens" in found["call m fixer"].found
    assert "models.m.max_tokens" in found["call m fixer"].advice


def test_call_says_by_which_api_it_is_made(server: LlmServer) -> None:
    server.answer = lambda request: (
        error(404, "This model is only supported in v1/responses and not in v1/chat/completions.")
        if "messages" in request.body
        else _short(request)
    )
    found = {check.name: check for check in check_calls({"m": ModelSpec(model="a", base_url=server.url, key_env="")})}
    assert 'api = "responses"' in found["call m researcher"].advice
    assert all(check.found.startswith("Responses API, streams") for check in found.values())
    assert "thoughts in a summary" in found["call m analyzer"].found
    assert len(server.requests) == 5


def test_call_of_lasting_fault_is_made_once(server: LlmServer) -> None:
    server.answer = lambda request: error(401, "no")
    (check,) = check_calls({"m": ModelSpec(model="a", base_url=server.url, key_env="")})
    assert check.state == "bad" and "refuses the key" in check.found
    assert len(server.requests) == 1
