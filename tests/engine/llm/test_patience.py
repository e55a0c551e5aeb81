"""How long an answer is waited for and when it is hung up on, by what the endpoint has shown or the user's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from engine.llm import client as client_module
from engine.llm.client import Client
from engine.llm.faults import Fault
from engine.llm.messages import Message
from engine.llm.meter import AnswerMeter
from engine.llm.patience import Patience, Pulse, Shown, is_local
from engine.llm.tries import Retry, Spent
from engine.settings.models import ModelSpec
from tests.llm_server import LlmServer, Reply, llm_server

PROMPT = [Message("user", "u" * 4_000)]
LOCAL, REMOTE = "http://127.0.0.1:1/v1", "https://api.example.com/v1"


@pytest.fixture(scope="module")
def served() -> Iterator[LlmServer]:
    with llm_server() as server:
        yield server


@pytest.fixture
def server(served: LlmServer, monkeypatch: pytest.MonkeyPatch) -> LlmServer:
    monkeypatch.setattr(client_module, "_FIRST_WAIT", 0.001)
    served.script.clear()
    served.requests.clear()
    served.hung_up.clear()
    return served


async def ask(server: LlmServer, retried: list[Retry], cap: int = 0, **spec: Any) -> client_module.Reply:
    client = Client(asyncio.sleep)
    try:
        return await client.ask(
            ModelSpec(**{"model": "m", "base_url": server.url, "key_env": "", "retries": 1, **spec}), PROMPT, Spent(),
            lambda *piece: None, cap=cap, on_retry=retried.append,
        )  # fmt: skip
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (LOCAL, True), ("http://[::1]:8000/v1", True), ("http://192.168.1.5/v1", True), ("http://gpu-box/v1", True),
        ("http://llm.local/v1", True), (REMOTE, False), ("http://8.8.8.8/v1", False), ("", False),
    ],
)  # fmt: skip
def test_local_address_is_known_by_its_name(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_silence_is_waited_for_as_the_endpoint_has_shown() -> None:
    here, there = (ModelSpec(model="m", base_url=url) for url in (LOCAL, REMOTE))
    shown = Shown()
    # A local server that has shown nothing yet may read one token a second; the user's own limit always holds.
    assert (shown.first_seconds(here, 1_000), shown.first_seconds(here, 9_000)) == (3_600, 9_000)
    assert shown.first_seconds(there, 9_000) == 120
    limited = ModelSpec(model="m", base_url=LOCAL, first_token_seconds=7)
    assert shown.first_seconds(limited, 9_000) == 7
    shown.learn(characters=12_000, tokens=4_000, cached=0, seconds=200.0)
    assert shown.tokens(9_000) == 3_000
    assert (shown.first_seconds(there, 4_000), shown.first_seconds(here, 4_000)) == (800, 2_000)
    # It counts as faster only bit by bit; what came from its cache, or at once, tells nothing.
    shown.learn(characters=12_000, tokens=4_000, cached=0, seconds=10.0)
    assert shown.reading == pytest.approx(25)
    shown.learn(characters=12_000, tokens=4_000, cached=3_990, seconds=10.0)
    shown.learn(characters=12_000, tokens=4_000, cached=0, seconds=0.01)
    assert shown.reading == pytest.approx(25)


async def test_wait_is_doubled_after_it_was_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.patience._LEAST", 0.05)
    spec, shown = ModelSpec(model="m", base_url=REMOTE), Shown()
    patience = Patience(spec, shown, Pulse(), 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as clock:
            patience.start(clock)
            await asyncio.sleep(30)
    fault = patience.fault()
    assert (fault.setting, fault.passing, shown.first_seconds(spec, 10)) == ("first_token_seconds", True, 0.1)
    assert "sent nothing within 0.05 s" in fault.message


async def test_what_an_endpoint_writes_for_another_request_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.patience._LEAST", 2.0)
    spec, shown, pulse = ModelSpec(model="m", base_url=REMOTE), Shown(), Pulse()
    other, waiting = (Patience(spec, shown, pulse, 10) for _ in range(2))
    async with asyncio.timeout(None) as clock:
        waiting.start(clock)
        for _ in range(5):
            await asyncio.sleep(0.5)
            other.alive()
    waiting.close()
    assert not waiting.ended_by


async def test_thoughts_that_nobody_can_read_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.patience._LEAST", 0.05)
    for limit, ended in ((None, ""), (0.05, "first_token_seconds")):
        spec = ModelSpec(model="m", base_url=REMOTE, first_token_seconds=limit)
        patience = Patience(spec, Shown(), Pulse(), 10)
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as clock:
                patience.start(clock)
                patience.thinks()
                await asyncio.sleep(0.2)
        patience.close()
        assert patience.ended_by == ended, "the user's own limit always holds"


async def test_keep_alives_are_life_and_silence_ends_with_the_name_of_its_limit(server: LlmServer) -> None:
    server.script.extend([Reply("x", before=3600.0), Reply("whole", before=3.0, alive=0.1)])
    retries: list[Retry] = []
    reply = await ask(server, retries, first_token_seconds=2)
    assert (reply.text, len(server.requests)) == ("whole", 2)
    (retry,) = retries
    assert (retry.number, retry.fault, retry.setting) == (1, "down", "first_token_seconds")
    assert "sent nothing within 2 s" in retry.reason and retry.tokens_in == 1_000 and retry.seconds > 1.9


async def test_keep_alives_do_not_outlast_the_limit_of_the_whole(server: LlmServer) -> None:
    server.script.append(Reply("x", before=3600.0, alive=0.1))
    with pytest.raises(Fault) as raised:
        await ask(server, [], total_seconds=1.0, retries=0)
    assert (raised.value.setting, len(server.requests)) == ("total_seconds", 1)


async def test_answer_that_runs_away_is_hung_up_on(server: LlmServer) -> None:
    server.script.append(Reply("def f():\n    return f()\n", end="looping"))
    reply = await ask(server, [])
    assert reply.truncated and reply.ended_by == "repetition" and len(reply.text) < 20_000
    assert await asyncio.to_thread(server.hung_up.wait, 90)
    server.script.append(Reply("```\n", end="endless"))
    reply = await ask(server, [], cap=3_000)
    assert reply.truncated and reply.ended_by == "cap_tokens" and len(reply.text) < 60_000


def measure(text: str, cap: int = 0, size: int = 5, thought: bool = False) -> AnswerMeter:
    """Feed a text to a meter in pieces, until it says stop."""
    meter = AnswerMeter(cap)
    for start in range(0, len(text), size):
        meter.add(text[start : start + size], thought)
        if meter.stop:
            break
    return meter


NESTED = "".join(
    "    " * depth + line + "\n"
    for depth in range(100)
    for line in ("def pack(n):", "    best = grid(n)", "    for i in range(n):", "        best = improve(best)")
)
TABLE = "\n".join(f"    [{', '.join(['0.0'] * 26)}]," for _ in range(26))
CODE = "".join(f"def step_{i}(x):\n    y = x * {i}\n    return y - {i * i}\n\n\n" for i in range(200))


@pytest.mark.parametrize("text", [NESTED, "1, " * 4_000, "\n" * 9_000, "again and again\n" * 900])
@pytest.mark.parametrize("thought", [False, True])
def test_repetition_is_noticed(text: str, thought: bool) -> None:
    assert measure(text, thought=thought).stop == "repetition"


@pytest.mark.parametrize("text", [TABLE, CODE])
def test_tables_and_long_programs_are_no_repetition(text: str) -> None:
    assert not measure(text).stop


def test_cap_counts_the_answer_and_not_what_was_thought_before_it() -> None:
    thoughts, answer = "so I think about it. " * 60, f"<program>\n{CODE[:2000]}</program>"
    assert not measure(thoughts + answer, cap=900).stop
    assert not measure(f"```\n{CODE[:4000]}\n```\n</think>{answer}", cap=1_500).stop
    assert measure(f"<program>\n{CODE}</program>", cap=900).stop == "cap_tokens"
    assert measure(CODE, cap=100, thought=True).stop == ""
    words = " ".join(f"word{i}" for i in range(20_000))
    assert measure(words, cap=900).stop == "cap_tokens"
