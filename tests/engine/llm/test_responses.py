"""A model that is asked by the Responses API: the same answers, faults and figures, and no request too many."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.llm.responses import items_to_keep
from engine.llm.tries import Spent
from tests.engine.llm.test_endpoints import TEXT, ask, line, quick, raw, refused, says, server, unless, whole
from tests.llm_server import LlmServer, Reply, Request, response_events, response_of

__all__ = ["quick", "server"]

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "cached": 60, "thoughts": 8}
SAID = Reply(TEXT, "hm", usage=USAGE)


def bare(**more: Any) -> Reply:
    """Answer by one JSON document."""
    return Reply(body=response_of(SAID) | more)


def stream(*events: dict[str, Any]) -> Reply:
    return raw("".join(f"event: {event['type']}\n{line(event)}" for event in events))


def told(text: str) -> list[dict[str, Any]]:
    return [{"type": "output_text", "text": text}]


def text_item(content: Any) -> dict[str, Any]:
    return {"type": "message", "id": "m", "role": "assistant", "content": content}


def completed(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", "output": list(output), **more}}


def delta(piece: str, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": f"m{index}", "output_index": index, "delta": piece}


WHOLE = {
    "streamed": SAID,
    "streamed, no whole at the end": raw(response_events(SAID, final=False)),
    "streamed, no items": raw(response_events(SAID, items=False)),
    "streamed, no items, no whole at the end": raw(response_events(SAID, items=False, final=False)),
    "one document": bare(),
    "one document as events": Reply(body=response_of(SAID), headers={"Content-Type": "text/event-stream"}),
    "without a status": bare(status=None),
    "text at the top only": bare(output=[], output_text=TEXT),
    "content as a text": bare(output=[text_item(TEXT)]),
    "the end alone": stream(completed(text_item(told(TEXT)))),
    "the item alone": stream(
        {"type": "response.output_item.done", "output_index": 0, "item": text_item(told(TEXT))},
        completed(),
    ),
    "numbers of items that differ": stream(
        delta(TEXT[:5], 3), delta(TEXT[5:], 3), completed(text_item(told(TEXT)))
    ),
    "two messages": stream(
        delta(TEXT[:5], 0), delta(TEXT[5:], 1),
        completed(*(text_item(told(part)) for part in (TEXT[:5], TEXT[5:]))),
    ),
    "thoughts in the open": stream(
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.reasoning_summary_text.delta", "delta": "so", "summary_index": 0}, delta(TEXT), completed(),
    ),
    "[DONE] in place of an end": raw(line(delta(TEXT)) + "data: [DONE]\n\n"),
    "a chat all the same": whole(),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_answer_is_taken(server: LlmServer, name: str) -> None:
    outcome = await ask(server, WHOLE[name], api="responses")
    assert outcome.fault is None and outcome.answer is not None, outcome.fault
    answer = outcome.answer
    assert (answer.text, answer.truncated, answer.refused) == (TEXT, False, False)
    assert answer.reasoning in ("", "hm")
    (request,) = server.requests
    assert request.path == "/v1/responses"


async def test_request_holds_what_chat_completions_do(server: LlmServer) -> None:
    extra = {"reasoning": {"summary": "auto"}, "text": {"verbosity": "low"}, "top_k": 20}
    outcome = await ask(
        server, SAID, api="responses", schema=True, temperature=0.5, max_tokens=500, reasoning_effort="low",
        extra_body=extra, price_cached=0.5,
    )  # fmt: skip
    (request,) = server.requests
    body = request.body
    assert (body["instructions"], body["input"]) == ("s" * 40, [{"role": "user", "content": "u" * 60}])
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
    assert (body["temperature"], body["max_output_tokens"], body["top_k"]) == (0.5, 500, 20)
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (body["text"]["verbosity"], body["text"]["format"]["type"]) == ("low", "json_schema")
    assert not {"messages", "response_format", "stream_options", "max_tokens"} & set(body)
    assert outcome.answer is not None and outcome.answer.thoughts_in == "a summary"
    kept = [(item["type"], item.get("encrypted_content")) for item in outcome.answer.items]
    assert kept == [("reasoning", "sealed 2"), ("message", None)]
    spent = outcome.spent
    assert (spent.tokens_in, spent.tokens_out, spent.tokens_cached, spent.estimated) == (100, 20, 60, False)
    assert (spent.tokens_thought, spent.usd) == (8, pytest.approx((40 + 60 * 0.5) / 1e6))


@pytest.mark.parametrize("reply", [Reply(TEXT, usage=None), bare(usage=None, output=[text_item(TEXT)])])
async def test_tokens_are_estimated_if_none_are_told(server: LlmServer, reply: Reply) -> None:
    spent = (await ask(server, reply, api="responses")).spent
    assert (spent.tokens_in, spent.tokens_out > 0, spent.estimated) == (25, True, True)


@pytest.mark.parametrize("reply", [
    replace(SAID, finish="max_output_tokens"),
    bare(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    bare(status="incomplete", incomplete_details=None), bare(status="cancelled"), replace(SAID, finish="steered"),
])  # fmt: skip
async def test_incomplete_answer_is_not_whole(server: LlmServer, reply: Reply) -> None:
    answer = (await ask(server, reply, api="responses")).answer
    assert answer is not None and (answer.text, answer.truncated) == (TEXT, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [SAID, bare()])
async def test_answer_of_as_many_tokens_as_were_allowed_is_not_whole(server: LlmServer, reply: Reply) -> None:
    """Some servers call every response completed."""
    for limit in (20, 21):
        answer = (await ask(server, reply, api="responses", max_tokens=limit)).answer
        assert answer is not None and (answer.text, answer.truncated) == (TEXT, limit == 20)


@pytest.mark.parametrize("reply", [
    replace(SAID, finish="content_filter"), bare(output=[text_item([{"type": "refusal", "refusal": "I will not"}])]),
    stream({"type": "response.refusal.delta", "delta": "I will "}, {"type": "response.refusal.delta", "delta": "not"},
           completed(text_item([{"type": "refusal", "refusal": "I will not"}]))),
])  # fmt: skip
async def test_refused_answer_is_told_as_that(server: LlmServer, reply: Reply) -> None:
    answer = (await ask(server, reply, api="responses")).answer
    assert answer is not None and answer.refused and answer.text in (TEXT, "I will not")
    assert len(server.requests) == 1


def failed(code: str, message: str) -> dict[str, Any]:
    return {"status": "failed", "output": [], "usage": None, "error": {"code": code, "message": message}}


BROKEN = {
    "failed": (stream(delta(TEXT[:5]), {"type": "response.failed", "response": failed("server_error", "it died")}),
               "down", "broke off with an error (503): it died", 2),
    "failed, one document": (bare(**failed("server_error", "it died")), "down", "it died", 2),
    "failed without a reason": (replace(SAID, finish="failed"), "down", "ended with 'failed'", 2),
    "rate": (bare(**failed("rate_limit_exceeded", "Rate limit reached. Please try again in 20ms.")), "down",
             "is overloaded (429)", 2),
    "policy": (bare(**failed("invalid_prompt", "it was flagged as potentially violating our usage policy")),
               "moderation", "declines", 1),
    "an event of its own": (stream(delta(TEXT[:5]), {"type": "error", "code": "server_error", "message": "it died",
                                                     "param": None}), "down", "it died", 2),
    "key": (refused(401, {"error": {"code": "invalid_api_key", "message": "Incorrect API key provided"}}), "auth",
            "OPENAI_API_KEY", 1),
    "context": (says(400, "Your input exceeds the context window of this model.", code="context_length_exceeded"),
                "context", "too long", 1),
    "model": (says(404, "The model `m` does not exist", code="model_not_found"), "model", "knows no model 'm'", 1),
    "the end of the connection": (stream(delta(TEXT[:5])), "down", "cut an answer off", 2),
    "nothing but a beginning": (stream({"type": "response.created", "response": {"status": "in_progress"}}), "down",
                                "cut an answer off", 2),
    "thoughts up to the limit": (replace(SAID, text="", finish="max_output_tokens"), "answer",
                                 "the token limit was spent on thoughts", 1),
    "thoughts only": (replace(SAID, text=""), "answer", "answers in its thoughts only (a summary)", 1),
    "a tool": (bare(output=[{"type": "function_call", "name": "answer", "arguments": "{}"}]), "answer",
               "tool_calls only (a call of 'answer')", 1),
    "HTML": (raw("<html><h1>Login</h1></html>", "text/html"), "model", "it answered HTML", 1),
    "other JSON": (Reply(body={"object": "list", "data": []}), "model", "JSON without `choices` or `output`", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_answer_that_is_none_is_fault_that_it_means(server: LlmServer, name: str) -> None:
    reply, kind, message, requests = BROKEN[name]
    outcome = await ask(server, reply, api="responses")
    fault = outcome.fault
    assert fault is not None
    assert (fault.kind, message in fault.message) == (kind, True), fault.message
    assert len(server.requests) == requests
    if kind not in ("down", "answer"):
        assert outcome.spent == Spent(), "what is refused costs nothing"


FORMS = {
    "schema": (
        lambda body: says(400, "Invalid schema for response_format 'answer'", param="text.format.schema")
        if "text" in body else SAID,
        {"schema": True}, "schema",
    ),
    "instructions": (unless("instructions", says(400, "Unsupported parameter: 'instructions'")), {}, "system role"),
    "thoughts that are sealed": (
        unless("include", says(400, "Encrypted content is not supported with this model.", param="include")),
        {}, "`include`",
    ),
    "store": (
        lambda body: refused(422, {"detail": [{"loc": ["body", "store"], "msg": "Extra inputs are not permitted"}]})
        if "store" in body else SAID,
        {}, "`store`",
    ),
    "effort": (
        unless("reasoning", says(400, "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
                                 param="reasoning.effort")),
        {"reasoning_effort": "low"}, "`reasoning.effort`",
    ),
    "limit": (
        unless("max_output_tokens", says(400, "Unsupported parameter: 'max_output_tokens' is not supported.")),
        {"max_tokens": 500}, "`max_output_tokens`",
    ),
    "streaming": (
        lambda body: says(400, "Streaming is not supported for this model.", param="stream")
        if body["stream"] else bare(),
        {}, "does not stream",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
async def test_refused_form_is_changed_once_and_told_once(server: LlmServer, name: str) -> None:
    answer, options, change = FORMS[name]
    outcome = await ask(server, answer, times=2, api="responses", **options)
    assert outcome.fault is None and outcome.answer is not None, outcome.fault and outcome.fault.message
    assert outcome.answer.text == TEXT
    assert len(server.requests) == 3
    assert [change in retry.reason for retry in outcome.told] == [True]
    last = server.requests[-1]
    assert last.path == "/v1/responses"
    assert "s" * 40 in last.text and "u" * 60 in last.text, "nothing of the prompt is lost"


ONLY = {
    "OpenAI": says(404, "This model is only supported in v1/responses and not in v1/chat/completions.", param="model"),
    "OpenAI, of a newer model": says(404, "This is not a chat model and thus not supported in the v1/chat/completions "
                                          "endpoint. Did you mean to use v1/completions?", param="model"),
    "a gateway": refused(400, {"error": {"message": 'model "m" is not accessible via the /chat/completions endpoint',
                                         "code": "unsupported_api_for_model"}}),
    "a cloud": says(400, "The chatCompletion operation does not work with the specified model, m. Please choose "
                         "different model and try again.", code="OperationNotSupported"),
    "a field": says(400, "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. Please "
                         "use /v1/responses instead."),
}  # fmt: skip


@pytest.mark.parametrize("name", ONLY)
async def test_endpoint_that_wants_responses_is_asked_by_them(server: LlmServer, name: str) -> None:
    outcome = await ask(server, lambda body: ONLY[name] if "messages" in body else SAID, times=2)
    assert outcome.answer is not None and outcome.answer.text == TEXT
    assert [request.path.removeprefix("/v1/") for request in server.requests] == [
        "chat/completions",
        *["responses"] * 2,
    ]
    assert [(retry.fault, 'api = "responses"' in retry.reason) for retry in outcome.told] == [("form", True)]
    assert (outcome.spent.tokens_in, outcome.spent.retries) == (200, 1)


CHATS = {
    "no such place": refused(404, {"detail": "Not Found"}),
    "no such place, as a page": refused(404, "<html><pre>Cannot POST /v1/responses</pre></html>"),
    "nothing": refused(404, ""),
    "OpenAI": says(400, "The model `m` is not supported in the v1/responses endpoint."),
    "a gateway": refused(404, {"error": {"message": "The Responses API is not supported. Use /v1/chat/completions."}}),
    "a method": refused(405, {"detail": "Method Not Allowed"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
async def test_endpoint_without_responses_is_asked_for_chats(server: LlmServer, name: str) -> None:
    outcome = await ask(
        server, lambda body: CHATS[name] if "input" in body else whole(), times=2, schema=True, api="responses"
    )
    assert outcome.answer is not None and outcome.answer.text == TEXT, outcome.fault
    assert [request.path.removeprefix("/v1/") for request in server.requests] == [
        "responses",
        *["chat/completions"] * 2,
    ]
    assert [(retry.fault, 'api = "chat"' in retry.reason) for retry in outcome.told] == [("form", True)]
    assert server.requests[-1].schema is not None, "what one API refuses says nothing of the other"


async def test_address_without_either_is_told_once(server: LlmServer) -> None:
    outcome = await ask(server, refused(404, {"detail": "Not Found"}), api="responses")
    assert outcome.fault is not None and "does the base URL end in /v1?" in outcome.fault.message
    assert (len(server.requests), outcome.told) == (2, [])


async def test_both_forms_are_refused_one_after_another(server: LlmServer) -> None:
    def strict(body: dict[str, Any]) -> Reply:
        if "messages" in body:
            return ONLY["OpenAI"]
        return says(400, "Unsupported parameter: 'temperature'") if "temperature" in body else SAID

    outcome = await ask(server, strict, times=2, temperature=0.5)
    assert outcome.answer is not None and outcome.answer.text == TEXT
    assert (len(server.requests), len(outcome.told)) == (4, 1)


def test_server_reads_prompt_of_either_api() -> None:
    body = json.loads('{"instructions": "a", "input": [{"role": "user", "content": "b"}, {"type": "reasoning"}]}')
    assert Request(body, {}, 0).text == "a\nb"


def test_items_that_no_journal_can_hold_are_not_kept() -> None:
    sealed = {"type": "reasoning", "encrypted_content": "sealed"}
    assert json.loads(items_to_keep([sealed, text_item(told("whole"))])) == [sealed, text_item(told("whole"))]
    assert items_to_keep([sealed, text_item(told("half \ud83d"))]) == ""
