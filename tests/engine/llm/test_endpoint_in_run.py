"""What a run makes of an endpoint's faults: it pauses and says why, or goes on in the form that the endpoint takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from tests.conftest import SEED, TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.llm.engine_runs import Start, be_quick, calls, starter, work
from tests.llm_server import LlmServer, Reply, Request, error, llm_server, search


@pytest.fixture(scope="module")
def served() -> Iterator[LlmServer]:
    with llm_server() as server:
        yield server


@pytest.fixture
def server(served: LlmServer, monkeypatch: pytest.MonkeyPatch) -> LlmServer:
    be_quick(monkeypatch)
    served.answer = search
    served.requests.clear()
    return served


@pytest.fixture
def start(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> Start:
    return starter(make_task, tmp_path, server)


async def test_error_inside_answers_pauses_run_and_burns_no_round(start: Start, server: LlmServer) -> None:
    failed = {"code": 502, "message": "died"}
    said = {"choices": [{"delta": {"content": "half"}, "finish_reason": "error", "error": failed}]}
    server.answer = lambda request: Reply(raw=f"data: {json.dumps(said)}\n\ndata: [DONE]\n\n".encode())
    run = start(roles={"analyzer": "rules"}, rounds=9)
    state = await work(run, patience=0.2)
    assert (state.status, state.no_design, state.rounds_done) == ("stopped", 0, 0)
    assert "broke off with an error (502): died" in state.reason
    assert len(server.requests) < 20


async def test_answers_without_text_pause_run_after_three(start: Start, server: LlmServer) -> None:
    server.answer = lambda request: Reply(reasoning="a program", finish="length")
    run = start(roles={"analyzer": "rules"}, rounds=9)
    state = await work(run, patience=0.0)
    assert (state.status, state.rounds_done) == ("stopped", 0)
    assert "the token limit was spent on thoughts: raise max_tokens" in state.reason
    paused = next(event.seq for event in events(run, ev.RunPaused))
    assert len([event for event in events(run, ev.CallDone) if event.seq < paused]) == 3


async def test_variable_that_keeps_models_from_being_asked_pauses_run(
    start: Start, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-Ü")
    run = start(rounds=1)
    state = await work(run, patience=0.1)
    assert (state.status, server.requests) == ("stopped", [])
    assert "OPENAI_ORG_ID holds a character that no request can carry" in state.reason
    monkeypatch.delenv("OPENAI_ORG_ID")
    assert (await work(run)).status == "finished"


async def test_prompts_are_made_to_fit_once_one_was_too_long(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    def small(request: Request) -> Reply:
        if len(request.text) < 9_000:
            return search(request)
        return error(400, "This model's maximum context length is 4,096 tokens. Reduce the length of the prompt.")

    server.answer = small
    prior = "---\ntitle: Points move\n---\n" + "A point moves. " * 700
    long = lambda toml: make_task(toml=toml, priors={"long.md": prior})  # noqa: E731
    run = starter(long, tmp_path, server)(roles={"analyzer": "rules"}, rounds=2)
    state = await work(run)
    assert (state.status, state.no_design) == ("finished", 0)
    (refused,) = (event.data for event in events(run, ev.DesignRejected))
    assert isinstance(refused, ev.DesignRejected) and "prompts are made to fit 2,048 tokens" in refused.reason
    assert len(server.requests) == 3
    models = {"m": {"model": "m", "base_url": server.url}}
    again = make_run(
        Path(state.start.source), tmp_path / "again", models=models, roles={"analyzer": "rules"}, rounds=2, workers=1,
        answers=str(run.folder),
    )  # fmt: skip
    replayed = await work(again)
    assert ([node.program for node in replayed.nodes], len(server.requests)) == (
        [node.program for node in state.nodes],
        3,
    ), replayed.reason


async def test_form_that_an_endpoint_takes_is_recorded_once(start: Start, server: LlmServer) -> None:
    def strict(request: Request) -> Reply:
        return error(500, "failed to parse grammar") if "response_format" in request.body else plain(request)

    def plain(request: Request) -> Reply:
        return Reply('{"lesson": "it moved",}') if "lesson" in request.text else search(request)

    server.answer = strict
    run = start(rounds=3)
    state = await work(run)
    assert (state.status, state.rounds_done) == ("finished", 3)
    changed = [event.data for event in events(run, ev.CallRetried) if isinstance(event.data, ev.CallRetried)]
    assert [(data.fault, "takes no schema" in data.reason) for data in changed] == [("form", True)]
    assert len(server.requests) == len(calls(run)) + 1


async def test_shown_speed_outlives_the_engine_and_waits_are_told(start: Start, server: LlmServer) -> None:
    replies = {0: lambda request: replace(search(request), before=0.25), 1: lambda request: error(503, "gone fishing")}
    server.answer = lambda request: replies.get(request.number, lambda request: error(401, "no"))(request)
    run = start(roles={"analyzer": "rules"}, rounds=2)
    assert (await work(run, patience=0.0)).status == "stopped"
    with JournalReader(run.db) as reader:
        rows = [row.data for row in reader.live_after(0) if row.kind == "stream" and "wait" in row.data]
    assert [(row["try"], row["tries"], "gone fishing" in row["why"]) for row in rows] == [(2, 2, True)]
    server.answer = search
    state = await work(run)
    assert (state.status, state.models["m"].reading > 0) == ("finished", True)
    asked = [event.data for event in events(run, ev.CallStarted) if isinstance(event.data, ev.CallStarted)]
    # The last one was asked by an engine that had not seen an answer before.
    assert (asked[0].patience, asked[-1].patience) == (3600.0, 600.0)
    assert asked[-1].tokens < asked[0].tokens, "by the characters in a token that the endpoint counted"


async def test_refused_design_goes_on_with_its_thoughts_by_the_responses_api(start: Start, server: LlmServer) -> None:
    same = Reply(f"<name>same</name>\n<program>\n{SEED}</program>", reasoning="hm")
    server.answer = lambda request: error(401, "no") if request.number else same
    run = start({"api": "responses"}, roles={"analyzer": "rules"}, rounds=1)
    assert (await work(run, patience=0.0)).status == "stopped"
    asked_before = len(server.requests)
    refused = error(404, "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.")
    script = dict(enumerate([same, refused, same], asked_before))
    server.answer = lambda request: script.get(request.number) or search(request)
    state = await work(run)
    assert (state.status, state.no_design, len(server.requests) - asked_before) == ("finished", 0, 4)
    # The second engine goes on as the first one would have.
    assert server.requests[1].body == server.requests[asked_before].body
    del server.requests[1:asked_before]
    sent = [[item.get("type", item.get("role")) for item in request.body["input"]] for request in server.requests]
    kept = ["user", "reasoning", "message", "user"]
    assert sent[:3] == [["user"], kept, [*kept, *kept[1:]]]
    assert sent[3:] == [["user", *["assistant", "user"] * 2], ["user", *["assistant", "user"] * 3]]
    first, second = server.requests[0].body["input"], server.requests[1].body["input"]
    assert second[:1] == first and second[1]["encrypted_content"] == "sealed 2"
    assert "was refused (duplicate)" in second[-1]["content"] and "what the program computes" in second[-1]["content"]
    told = [event.data for event in events(run, ev.CallRetried) if isinstance(event.data, ev.CallRetried)]
    assert [(data.fault, "no earlier thoughts back" in data.reason) for data in told] == [("form", True)]
    asked = [event.data for event in events(run, ev.CallStarted) if isinstance(event.data, ev.CallStarted)]
    assert asked[0].continues == 0 and all(data.continues == 1 for data in asked[1:-2])
    assert [data.continues for data in asked[-2:]] == [asked[-3].call, asked[-2].call]
    server.requests.clear()
    models = {"m": {"model": "m", "base_url": server.url}}
    replayed = await work(
        make_run(
            Path(state.start.source), run.folder.parent / "again", models=models, roles={"analyzer": "rules"}, rounds=1,
            workers=1, answers=str(run.folder),
        )
    )  # fmt: skip
    assert server.requests == []
    assert [node.program for node in replayed.nodes] == [node.program for node in state.nodes]


async def test_conversation_begins_anew_for_another_model_or_a_cut_answer(start: Start, server: LlmServer) -> None:
    same = Reply(f"<name>same</name>\n<program>\n{SEED}</program>", reasoning="hm")
    script = [replace(same, finish="max_output_tokens"), same, error(503, "gone fishing"), error(503, "gone fishing")]
    server.answer = lambda request: script[request.number] if request.number < len(script) else search(request)
    spec = {"base_url": server.url, "api": "responses", "retries": 0}
    models = {"m": {**spec, "model": "m"}, "spare": {**spec, "model": "s"}}
    roles = {"researcher": {"m": 1.0}, "fallback": ["spare"], "analyzer": "rules"}
    run = start(models=models, roles=roles, rounds=1)
    assert (await work(run)).status == "finished"
    sent = [(request.body["model"], len(request.body["input"])) for request in server.requests]
    # A cut answer, a whole one, its continuation that fails, and the other model's own beginning.
    assert sent[:4] == [("m", 1), ("m", 1), ("m", 4), ("s", 1)]
