"""Calls of models by a real engine: recorded, never made twice, within the budgets, whatever the endpoint does."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.llm.messages import Message, PromptSize
from engine.llm.stream import LiveText
from engine.loop import failover
from engine.loop.engine import Engine
from engine.runs.folder import Run, lock_run
from engine.settings.models import ModelSpec
from tests.conftest import TaskMaker
from tests.e2e.runs import events, fold, make_run
from tests.engine.llm.engine_runs import Start, be_quick, calls, starter, work
from tests.engine.loop.parts import open_parts
from tests.llm_server import LlmServer, Reply, Request, error, llm_server, search

JUDGE = '\n[judge]\ncriteria = [{ name = "plain", text = "It is plain." }]\n'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server(search) as served:
        yield served


@pytest.fixture
def start(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> Start:
    return starter(make_task, tmp_path, server)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def reasons(run: Run) -> list[str]:
    return [event.data.reason for event in events(run, ev.RunPaused) if isinstance(event.data, ev.RunPaused)]


async def test_every_call_is_recorded_with_prompt_answer_and_cost(start: Start, server: LlmServer) -> None:
    run = start({"temperature": 0.5, "price_in": 1.0, "price_out": 2.0}, usd=1.0)
    state = await work(run)
    assert (state.status, len(state.nodes)) == ("finished", 3)
    done = calls(run)
    asked = [event.data for event in events(run, ev.CallStarted) if isinstance(event.data, ev.CallStarted)]
    assert [(call.role, call.key) for call in asked] == [
        ("researcher", "design/0"), ("analyzer", "analyze/1"), ("researcher", "design/0"), ("analyzer", "analyze/1"),
        ("analyzer", "analyze/1"),
    ]  # fmt: skip
    assert len(server.requests) == len(done) == 5
    assert state.usd == pytest.approx(5 * (100 * 1.0 + 20 * 2.0) / 1e6)
    assert state.tokens == 5 * 120
    assert {role: spent.calls for role, spent in state.spent.items()} == {"analyzer": 3, "researcher": 2}
    (first, *_) = (event.data for event in events(run, ev.CallStarted))
    assert isinstance(first, ev.CallStarted)
    assert first.parameters["temperature"] == 0.5
    with JournalReader(run.db) as reader:
        assert "Move the point" in reader.text(first.prompt_blob)
        assert "<program>" in reader.text(next(call for call in done if call.call == 1).answer_blob)
    assert not state.calls and not state.answered


async def test_pieces_of_an_answer_are_passed_on_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.stream._GATHER_SECONDS", 0.0)
    sent: list[dict[str, Any]] = []
    passed = asyncio.Event()

    def send(row: bytes) -> None:
        sent.append(msgspec.json.decode(row))
        passed.set()

    text = LiveText(send, {"call": 1, "model": "m"}, ModelSpec(model="m", base_url="http://127.0.0.1:1/v1"))
    text("one ", False)
    text("two ", False)
    await asyncio.wait_for(passed.wait(), 90)
    text("three", False)
    text.close()
    assert [(row["call"], row["text"]) for row in sent] == [(1, "one two ")], "the journal has the whole answer"


async def test_prompts_show_fitness_if_fitness_ranks(start: Start, server: LlmServer) -> None:
    parts = {"score": {"direction": "maximize"}}
    state = await work(start(rounds=1, fitness={"kind": "composite", "parts": parts}))
    assert state.status == "finished"
    asked = [request.text for request in server.requests]
    assert len(asked) == 3
    assert all("fitness 0.5, score " in prompt for prompt in asked), "the seed is the baseline of the composite"


async def test_restarted_engine_repeats_only_unanswered_calls(start: Start, server: LlmServer) -> None:
    """A kill leaves the journal up to some event. Calls with an answer in it are not repeated."""
    run = start(rounds=3, workers=2)
    await work(run)
    whole = events(run)
    ends = [event.seq for event in whole if isinstance(event.data, ev.CallDone | ev.CallStarted)]
    for cut in random.Random(1).sample(ends, 4):
        copied = Run(run.folder.with_name(f"cut-{cut}"))
        copied.folder.mkdir()
        _copy_until(run, copied, cut)
        answered = {(event.round, event.node, event.data.key) for event in events(copied, ev.CallDone)}
        before = len(server.requests)
        state = await work(copied)
        assert (state.status, state.rounds_done) == ("finished", 3)
        done = [event for event in events(copied, ev.CallDone) if not event.data.error]
        places = [(event.round, event.node, event.data.key) for event in done]
        assert len(places) == len(set(places)), "a call was made twice"
        assert len(server.requests) - before == len(set(places) - answered)
        lost = [call for call in calls(copied) if call.error]
        assert all(call.estimated and call.tokens_in > 0 for call in lost)


def _copy_until(run: Run, copied: Run, seq: int) -> None:
    import shutil
    import sqlite3

    shutil.copyfile(run.db, copied.db)
    connection = sqlite3.connect(copied.db)
    connection.execute("DELETE FROM events WHERE seq > ?", (seq,))
    connection.execute("DELETE FROM meta WHERE key = 'summary'")
    connection.commit()
    connection.close()


MISDEEDS = [
    Reply("half", end="close"),
    Reply("half", end="reset"),
    Reply("half", end="garbage"),
    Reply("half", end="silent"),
    Reply("", before=3600),
    Reply(""),
    error(500, "oops"),
    error(429, "slow down", Retry_After="0"),
    Reply("I cannot do that.", finish="content_filter"),
    Reply("<program>\nX = ", finish="length"),
    Reply('{"wrong": "schema"}'),
    error(400, "maximum context length exceeded", "context_length_exceeded"),
    error(400, "flagged", "content_policy_violation"),
]


async def test_misbehaving_endpoint_loses_no_round(start: Start, server: LlmServer) -> None:
    model = {"idle_seconds": 1.5, "first_token_seconds": 1.5}
    run = start(model, rounds=len(MISDEEDS), roles={"analyzer": "rules"}, fitness={})
    script = list(MISDEEDS)

    def answer(request: Request) -> Reply:
        # Each misdeed is met by the first request of a round.
        return script.pop(0) if script and request.number % 2 == 0 else search(request)

    server.answer = answer
    state = await work(run)
    assert (state.status, state.rounds_done, state.no_design) == ("finished", len(MISDEEDS), 0)
    done = calls(run)
    assert all(call.error or call.answer_blob for call in done)
    assert any(call.refused for call in done) and any(call.truncated for call in done)
    assert {call.fault for call in done if call.error} == {"context", "moderation"}
    assert sum(call.retries for call in done) == 8
    rejected = [event.data for event in events(run, ev.DesignRejected)]
    assert len(rejected) == 5


async def test_dead_endpoint_pauses_run_until_it_answers(start: Start) -> None:
    dead = LlmServer(search, listens=False)
    run = start({"base_url": dead.url}, roles={"analyzer": "rules"}, rounds=1)
    working = asyncio.create_task(work(run))
    await until(lambda: run.db.exists() and fold(run).status == "paused")
    state = fold(run)
    assert f"127.0.0.1:{dead.port}" in state.reason
    assert "no model answers" in state.reason
    dead.listen()
    try:
        state = await working
    finally:
        dead.close()
    assert (state.status, state.rounds_done, state.no_design) == ("finished", 1, 0)
    assert len(events(run, ev.RunPaused)) == len(events(run, ev.RunResumed)) == 1
    assert any(call.fault == "down" for call in calls(run))


@pytest.mark.parametrize(
    ("refusal", "named"),
    [
        (error(401, "bad key"), "OPENAI_API_KEY"),
        (error(404, "no such model"), "no model 'm'"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "nothing left"),
    ],
)
async def test_configuration_fault_pauses_run_with_advice(
    start: Start, server: LlmServer, refusal: Reply, named: str
) -> None:
    mended = False
    server.answer = lambda request: search(request) if mended else refusal
    run = start(roles={"analyzer": "rules"}, rounds=3, workers=3)
    working = asyncio.create_task(work(run))
    await until(lambda: len(server.requests) > 8)
    mended = True
    state = await working
    assert (state.status, state.rounds_done, state.no_design) == ("finished", 3, 0)
    # Three rounds waited; the message was given once.
    (reason,) = reasons(run)
    assert named in reason


async def test_corrected_setting_takes_effect_at_once(
    start: Start, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "_FIRST_WAIT", 3600.0)
    server.models = ["good"]
    run = start(roles={"analyzer": "rules"}, rounds=1)
    with lock_run(run):
        working = asyncio.create_task(Engine(run).work())
        await until(lambda: fold(run).status == "paused")
        await asyncio.to_thread(send_command, run.db, "set", {"settings": {"models": {"m": {"model": "good"}}}})
        await working
    assert fold(run).status == "finished"
    assert fold(run).settings.models["m"].base_url == server.url


async def test_users_pause_is_not_undone(start: Start, server: LlmServer) -> None:
    dead = True
    server.answer = lambda request: error(500, "dead") if dead else search(request)
    run = start(roles={"analyzer": "rules"}, rounds=1)
    with lock_run(run):
        working = asyncio.create_task(Engine(run).work())
        await until(lambda: fold(run).status == "paused")
        send_command(run.db, "pause", {})
        await until(lambda: events(run, ev.CommandDone))
        assert "dead" in fold(run).reason
        dead = False
        await until(lambda: not fold(run).reason)
        assert fold(run).status == "paused"
        assert not events(run, ev.RunResumed)
        send_command(run.db, "resume", {})
        await working
    assert fold(run).status == "finished"


async def test_run_ends_after_patience_with_endpoint(start: Start, server: LlmServer) -> None:
    server.answer = lambda request: error(503, "gone fishing")
    run = start(roles={"analyzer": "rules"}, rounds=1)
    state = await work(run, patience=0.2)
    assert state.status == "stopped"
    assert "gone fishing" in state.reason
    assert list(state.open_rounds) == [1]
    # The round continues from where it was.
    server.answer = search
    assert (await work(run)).rounds_done == 1


async def test_failover_to_another_model(start: Start, server: LlmServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    models = {"m": {"model": "m", "base_url": dead, "retries": 0}, "spare": {"model": "s", "base_url": server.url}}
    run = start(models=models, roles={"researcher": {"m": 1.0}, "analyzer": "rules", "fallback": ["spare"]}, rounds=2)
    state = await work(run)
    assert (state.status, state.no_design) == ("finished", 0)
    assert not reasons(run)
    by_model = {name: [call.error != "" for call in calls(run) if call.model == name] for name in ("m", "spare")}
    assert all(by_model["m"]) and by_model["m"]
    assert by_model["spare"] == [False, False]


async def test_models_are_drawn_by_weight(start: Start, server: LlmServer) -> None:
    spec = {"base_url": server.url, "retries": 0}
    models = {name: {"model": name, **spec} for name in ("a", "b", "never")}
    roles = {"researcher": {"a": 3.0, "b": 1.0, "never": 0.0}, "analyzer": "b"}
    run = start(models=models, roles=roles, rounds=0)
    async with open_parts(run) as parts:
        gateway = parts.models
        drawn = [gateway._candidates((n, None, "design/0"), "researcher", None) for n in range(400)]
        assert 260 < sum(names[0] == "a" for names in drawn) < 340
        assert {tuple(sorted(names)) for names in drawn} == {("a", "b")}
        assert gateway._candidates((1, 1, "analyze"), "analyzer", None) == ["b"]
        assert drawn == [gateway._candidates((n, None, "design/0"), "researcher", None) for n in range(400)]


async def test_calls_in_flight_cannot_exceed_budget(start: Start, server: LlmServer) -> None:
    price = {"price_in": 0.0, "price_out": 1000.0, "max_tokens": 20}
    # A call costs 0.02: eight at once would make 0.16.
    run = start(price, rounds=50, workers=8, roles={"analyzer": "rules"}, usd=0.1)
    state = await work(run)
    assert state.status == "stopped"
    assert "0.1 dollars" in state.reason
    assert state.usd == pytest.approx(0.1)
    assert len(server.requests) == 5


async def test_token_budget(start: Start, server: LlmServer) -> None:
    run = start({"max_tokens": 20}, rounds=50, roles={"analyzer": "rules"}, tokens=1000)
    state = await work(run)
    assert "1000 tokens" in state.reason
    assert state.tokens <= 1000


async def test_immediate_stop_aborts_call_and_resume_repeats_it(start: Start, server: LlmServer) -> None:
    server.answer = lambda request: Reply("never", pause=0.05, end="silent")
    run = start(roles={"analyzer": "rules"}, rounds=1)
    with lock_run(run):
        engine = Engine(run)
        working = asyncio.create_task(engine.work())
        await until(lambda: server.requests)
        engine.stop("enough", now=True)
        await working
    assert await asyncio.to_thread(server.hung_up.wait, 90)
    (call,) = calls(run)
    assert call.fault == "stopped" and call.tokens_in > 0
    server.answer = search
    state = await work(run)
    assert (state.rounds_done, len(server.requests)) == (1, 2)


async def test_recorded_run_is_repeated_without_model(
    start: Start, server: LlmServer, make_task: TaskMaker, tmp_path: Path
) -> None:
    run = start(rounds=3)
    first = await work(run)
    asked = len(server.requests)
    server.close()
    task = Path(first.start.source) if first.start is not None else tmp_path
    again = make_run(task, tmp_path / "again", rounds=3, workers=1, models={"m": {"model": "m"}},
                     answers=str(run.folder))  # fmt: skip
    second = await work(again)
    assert [node.program for node in second.nodes] == [node.program for node in first.nodes]
    assert [node.lesson for node in second.nodes] == [node.lesson for node in first.nodes]
    assert (len(calls(again)), second.tokens, asked) == (len(calls(run)), 0, len(server.requests))
    assert all(call.replayed for call in calls(again))
    other = make_run(task, tmp_path / "other", rounds=3, workers=1, seed=9, models={"m": {"model": "m"}},
                     answers=str(run.folder), designer={"modes": {"full": 0.0, "diff": 1.0}})  # fmt: skip
    state = await work(other)
    assert state.status == "failed"
    assert "holds no answer" in state.reason


async def test_judge_scores_before_end_of_evaluation_is_recorded(start: Start, server: LlmServer) -> None:
    run = start(toml=JUDGE, fitness={"judge": 0.5}, roles={"analyzer": "rules"}, rounds=1)
    state = await work(run)
    assert [node.judge for node in state.nodes] == [0.5, 0.5]
    assert [call.role for call in calls(run)] == ["judge", "researcher", "judge"]
    assert state.nodes[1].fitness == pytest.approx(0.5 * (state.nodes[1].score or 0) + 0.25)


async def test_permanent_refusal_is_not_blamed_on_prompt(start: Start, server: LlmServer) -> None:
    refused = True
    server.answer = lambda request: error(400, "Unsupported parameter") if refused else search(request)
    run = start(roles={"analyzer": "rules"}, rounds=2)
    working = asyncio.create_task(work(run))
    await until(lambda: run.db.exists() and fold(run).status == "paused")
    assert "models.m" in fold(run).reason
    refused = False
    state = await working
    assert (state.rounds_done, state.no_design) == (2, 0)


async def test_same_key_gives_same_answer(start: Start, server: LlmServer) -> None:
    run = start(rounds=0, roles={"analyzer": "rules"})
    async with open_parts(run) as parts:
        parts.session.emit(ev.RoundStarted(), round=7)
        ask = parts.models.for_round(7)

        def write(size: PromptSize) -> list[Message]:
            return [Message("user", f"half a character in {size.room} tokens: \ud800")]

        first = await ask("researcher", write, key="design/0")
        second = await ask("researcher", write, key="design/0")
        other = await ask("researcher", write, key="design/1")
        assert (first, len(server.requests)) == (second, 2)
        assert other.text != first.text
        parts.session.emit(ev.RoundEnded("no_design"), round=7)
        assert not parts.session.state.answered
