"""The client against a real server on loopback: every way in which an endpoint can answer or fail."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.llm import client as client_module
from engine.llm.client import Client, Spent
from engine.llm.client import Reply as Answer
from engine.llm.faults import Fault
from engine.llm.messages import Message
from engine.llm.models_listed import list_models
from engine.settings.models import ModelSpec
from tests.llm_server import LlmServer, Reply, Request, error, llm_server

PROMPT = [Message("system", "s" * 40), Message("user", "u" * 60)]
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove waits between tries, and set the key."""
    monkeypatch.setattr(client_module, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")


class Asked:
    """One request through a client, with the notices received."""

    def __init__(self, **spec: Any) -> None:
        self.spec = ModelSpec(**{"model": "m", "retries": 2, **spec})
        self.spent = Spent()
        self.pieces: list[tuple[str, bool]] = []
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        if seconds > 0.01:
            self.slept.append(seconds)
            # Record long waits instead of waiting.
            await asyncio.sleep(0.01)

    async def __call__(self, schema: dict[str, Any] | None = None) -> Answer:
        client = Client(self.sleep)
        try:
            return await client.ask(self.spec, PROMPT, self.spent, lambda *piece: self.pieces.append(piece), schema)
        finally:
            await client.aclose()

    async def fault(self) -> Fault:
        with pytest.raises(Fault) as raised:
            await self()
        return raised.value


async def test_answer_is_streamed_and_counted(server: LlmServer) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600}}
    server.script.append(Reply("hello there", reasoning="hm", usage=usage))
    asked = Asked(base_url=server.url, temperature=0.5, max_tokens=50, price_in=1.0, price_cached=0.1, price_out=10.0,
                  extra_body={"seed": 7})  # fmt: skip
    reply = await asked()
    assert (reply.text, reply.reasoning, reply.refused, reply.truncated) == ("hello there", "hm", False, False)
    assert [piece for piece, thought in asked.pieces if thought] == ["hm"]
    assert len([piece for piece, thought in asked.pieces if not thought]) == 4
    spent = asked.spent
    assert (spent.tokens_in, spent.tokens_out, spent.tokens_cached, spent.estimated) == (1000, 200, 600, False)
    assert spent.usd == pytest.approx((400 * 1.0 + 600 * 0.1 + 200 * 10.0) / 1e6)
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer sk-test-0123456789"
    body = dict(request.body)
    assert body.pop("messages")[1] == {"role": "user", "content": "u" * 60}
    assert body == {
        "model": "m", "temperature": 0.5, "max_tokens": 50, "seed": 7, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


async def test_missing_token_counts_are_estimated(server: LlmServer) -> None:
    # Most endpoints send a token in each piece, however long it is.
    server.script.append(Reply("        return" * 20, pieces=40, usage=None))
    asked = Asked(base_url=server.url, price_in=4.0)
    await asked()
    assert (asked.spent.tokens_in, asked.spent.tokens_out, asked.spent.estimated) == (25, 40, True)
    assert asked.spent.usd == pytest.approx(25 * 4.0 / 1e6)


async def test_cost_reported_by_server_is_used(server: LlmServer) -> None:
    server.script.append(Reply("x", usage={"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.25}))
    asked = Asked(base_url=server.url, price_in=1000.0)
    await asked()
    assert asked.spent.usd == 0.25


BAD = [
    pytest.param(Reply("half an answer", end="close"), True, id="cut"),
    pytest.param(Reply("half an answer", end="reset"), True, id="reset"),
    pytest.param(Reply("half an answer", end="garbage"), True, id="malformed"),
    pytest.param(Reply("half an answer", end="error"), True, id="error in the stream"),
    pytest.param(Reply("half an answer", end="silent"), True, id="stalled"),
    pytest.param(Reply("late", before=3600.0), True, id="slow first token"),
    pytest.param(Reply("", usage={"prompt_tokens": 9, "completion_tokens": 0}), True, id="empty"),
    pytest.param(error(500, "oops"), False, id="500"),
    pytest.param(error(503, "Loading model"), False, id="503"),
    pytest.param(error(408, "slow"), False, id="408"),
    pytest.param(Reply(status=502, body="<html>bad gateway</html>"), False, id="502 in HTML"),
    pytest.param(Reply(body="no gzip", headers={"Content-Encoding": "gzip"}), True, id="cannot be unpacked"),
    pytest.param(
        Reply(status=500, body="no gzip", headers={"Content-Encoding": "gzip"}), False, id="500 cannot be unpacked"
    ),
]


def _limits(bad: Reply) -> dict[str, float]:
    """Return short limits for silent replies only: on a busy machine a good answer may be slow."""
    return {"idle_seconds": 1.0} if bad.end == "silent" else {"first_token_seconds": 1.0} if bad.before else {}


@pytest.mark.parametrize(("bad", "billed"), BAD)
async def test_temporary_failure_is_retried(server: LlmServer, bad: Reply, billed: bool) -> None:
    server.script.extend([bad, bad, Reply("whole")])
    asked = Asked(base_url=server.url, **_limits(bad))
    assert (await asked()).text == "whole"
    assert len(server.requests) == 3
    assert asked.spent.retries == 2
    # Tries that the server may have billed count.
    assert (asked.spent.tokens_in > 100) is billed
    assert asked.pieces.count(("", False)) == 2


async def test_stale_connection_uses_no_retry(server: LlmServer) -> None:
    hung_up = Reply(end="unanswered")
    server.script.extend([hung_up, Reply("whole"), hung_up, hung_up])
    asked = Asked(base_url=server.url, retries=0)
    assert ((await asked()).text, asked.spent.retries, len(server.requests)) == ("whole", 0, 2)
    fault = await Asked(base_url=server.url, retries=0).fault()
    assert (fault.kind, fault.unanswered, len(server.requests)) == ("down", True, 4)


async def test_connection_that_each_try_leaves_costs_no_retry(server: LlmServer) -> None:
    busy, hung_up = error(503, "busy"), Reply(end="unanswered")
    server.script.extend([busy, hung_up, busy, hung_up, Reply("whole")])
    asked = Asked(base_url=server.url, retries=2)
    assert ((await asked()).text, asked.spent.retries) == ("whole", 2)


@pytest.mark.parametrize(("bad", "billed"), BAD)
async def test_lasting_failure_is_fault_after_last_try(server: LlmServer, bad: Reply, billed: bool) -> None:
    server.answer = lambda request: bad
    asked = Asked(base_url=server.url, retries=1, **_limits(bad))
    if bad.text == "" and bad.status == 200 and not bad.body:
        assert (await asked()).text == ""
    else:
        fault = await asked.fault()
        assert (fault.kind, server.url in fault.message) == ("down", True)
    assert len(server.requests) == 2


async def test_retry_after_is_honoured_as_number_and_date(server: LlmServer) -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    server.script.extend([error(429, "slow down", Retry_After="7"), error(429, "slow", Retry_After=date)])
    asked = Asked(base_url=server.url)

    async def sleep(seconds: float) -> None:
        if seconds > 0.01:
            asked.slept.append(seconds)
            await asyncio.sleep(0)
            asyncio.get_running_loop().time = lambda: time.monotonic() + sum(asked.slept)  # type: ignore[method-assign]

    asked.sleep = sleep  # type: ignore[method-assign]
    assert (await asked()).text == "answer 2"
    assert 6.5 < asked.slept[0] <= 7
    assert 25 < asked.slept[1] <= 31


async def test_retry_after_date_uses_clock_of_server(server: LlmServer) -> None:
    ahead = time.time() + 3600
    dates = {
        name: email.utils.formatdate(ahead + more, usegmt=True) for name, more in (("Date", 0), ("Retry_After", 7))
    }
    server.answer = lambda request: error(429, "slow down", **dates)
    fault = await Asked(base_url=server.url, retries=0).fault()
    assert (fault.kind, fault.wait) == ("down", 7.0)


async def test_long_retry_after_is_not_waited_for(server: LlmServer) -> None:
    server.answer = lambda request: error(429, "slow down", Retry_After="3600")
    fault = await Asked(base_url=server.url, retries=0).fault()
    assert (fault.kind, fault.wait) == ("down", 60.0)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401, "bad key"), "auth"),
        (error(403, "not in your country"), "auth"),
        (error(404, "no such model"), "model"),
        (error(400, "The model `m` does not exist"), "model"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "quota"),
        (error(402, "Insufficient credits"), "quota"),
        (error(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded"), "context"),
        (error(413, "too large"), "context"),
        (error(400, "flagged by our content policy", "content_filter"), "moderation"),
        (error(400, "Unsupported parameter: 'temperature'"), "bad_request"),
        (error(422, "extra fields not permitted"), "bad_request"),
    ],
)
async def test_permanent_failure_is_not_retried(server: LlmServer, reply: Reply, kind: str) -> None:
    server.answer = lambda request: reply
    fault = await Asked(base_url=server.url).fault()
    assert fault.kind == kind
    assert len(server.requests) == 1


async def test_refused_connection_is_fault() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    asked = Asked(base_url=url, retries=1)
    fault = await asked.fault()
    assert fault.kind == "down"
    assert url in fault.message and "refused" in fault.message
    assert asked.spent == Spent(retries=1)


async def test_wrong_key_is_named_by_variable_and_never_shown(server: LlmServer) -> None:
    server.key = "another"
    fault = await Asked(base_url=server.url).fault()
    assert "OPENAI_API_KEY" in fault.message
    assert "sk-test" not in fault.message


@pytest.mark.parametrize("key", ["sk-test\n0123456789", "sk-tést-0123456789"])
async def test_key_invalid_in_header_is_never_sent_or_shown(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    asked = Asked(base_url=server.url)
    listed = list_models(asked.spec, 5.0)
    assert isinstance(listed, Fault)
    for fault in (await asked.fault(), listed):
        assert fault.kind == "auth" and "OPENAI_API_KEY holds a line break" in fault.message
        assert "0123456789" not in fault.message
    assert not server.requests


async def test_echoed_key_is_removed(server: LlmServer) -> None:
    server.answer = lambda request: error(403, f"got {request.headers['authorization']}")
    fault = await Asked(base_url=server.url).fault()
    assert "got Bearer ***" in fault.message


@pytest.mark.parametrize("word", ["stream_options", "json_schema"])
async def test_unsupported_parameters_are_left_out(server: LlmServer, word: str) -> None:
    field = {"stream_options": "stream_options", "json_schema": "response_format"}[word]
    server.answer = lambda request: error(400, f"unknown field {word}") if field in request.body else Reply("fine")
    asked = Asked(base_url=server.url)
    client = Client(asked.sleep)
    for _ in range(2):
        reply = await client.ask(asked.spec, PROMPT, asked.spent, lambda *piece: None, SCHEMA)
        assert reply.text == "fine"
    await client.aclose()
    # The second request already knows.
    assert len(server.requests) == 3


async def test_schema_is_requested_as_configured(server: LlmServer) -> None:
    await Asked(base_url=server.url, structured="off")(SCHEMA)
    assert "response_format" not in server.requests[0].body
    await Asked(base_url=server.url)(SCHEMA)
    assert server.requests[1].body["response_format"]["json_schema"]["schema"] == SCHEMA
    server.answer = lambda request: error(400, "unsupported response_format")
    with pytest.raises(Fault):
        await Asked(base_url=server.url, structured="json_schema")(SCHEMA)
    assert len(server.requests) == 3


async def test_answer_without_streaming_is_accepted(server: LlmServer) -> None:
    whole = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}],
             "usage": {"prompt_tokens": 3, "completion_tokens": 4}}  # fmt: skip
    server.script.append(Reply(body=whole))
    asked = Asked(base_url=server.url)
    assert (await asked()).text == "all at once"
    assert (asked.spent.tokens_in, asked.spent.tokens_out) == (3, 4)


async def test_refusal_and_filter_are_reported(server: LlmServer) -> None:
    server.script.append(Reply(extra={"refusal": "I would rather not."}))
    reply = await Asked(base_url=server.url)()
    assert (reply.text, reply.refused) == ("I would rather not.", True)
    server.script.append(Reply("half", finish="content_filter"))
    assert (await Asked(base_url=server.url)()).refused


async def test_truncated_answer_is_marked(server: LlmServer) -> None:
    server.script.append(Reply("def f(", finish="length"))
    assert (await Asked(base_url=server.url)()).truncated


async def test_endless_answer_is_cut_off(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_LONGEST_ANSWER", 50_000)
    server.script.append(Reply(end="endless"))
    asked = Asked(base_url=server.url)
    reply = await asked()
    assert reply.truncated
    assert 50_000 < len(reply.text) < 70_000 and not reply.ended_by
    assert asked.spent.estimated
    assert await asyncio.to_thread(server.hung_up.wait, 90)


async def test_answer_over_total_time_keeps_received_part(server: LlmServer) -> None:
    server.script.append(Reply("0123456789", pieces=10, pause=0.4))
    reply = await Asked(base_url=server.url, total_seconds=3)()
    assert reply.truncated
    assert "0123456789".startswith(reply.text) and reply.text
    assert len(server.requests) == 1


async def test_lone_surrogates_can_be_stored(server: LlmServer) -> None:
    server.script.append(Reply("a\ud800b", pieces=1))
    assert (await Asked(base_url=server.url)()).text == "a?b"


async def test_cancelling_closes_connection(server: LlmServer) -> None:
    server.script.append(Reply("never ends", pause=0.05, end="silent"))
    asked = Asked(base_url=server.url)
    request = asyncio.create_task(asked())
    while not asked.pieces:
        await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await asyncio.to_thread(server.hung_up.wait, 90)
    assert asked.spent.tokens_in == 25


async def test_concurrent_requests_are_limited(server: LlmServer) -> None:
    together, lock = threading.Barrier(3), threading.Lock()
    asking: set[int] = set()
    most: list[int] = []

    def answer(request: Request) -> Reply:
        with lock:
            asking.add(request.number)
            most.append(len(asking))
        together.wait(90)
        with lock:  # before the client hears of it, and asks once more
            asking.remove(request.number)
        return Reply("x")

    server.answer = answer
    asked = Asked(base_url=server.url, concurrency=3)
    client = Client(asked.sleep)
    spec = msgspec.structs.replace(asked.spec, first_token_seconds=90)
    await asyncio.gather(*(client.ask(spec, PROMPT, asked.spent, lambda *piece: None) for _ in range(9)))
    await client.aclose()
    assert max(most) == 3
