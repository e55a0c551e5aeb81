"""What real endpoints answer, case by case: the answer, or the one fault that it means, with no request too many.

One file, since all tables are made of the same bodies.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.llm import client as client_module
from engine.llm.client import Client, Spent
from engine.llm.faults import Fault
from engine.llm.messages import Message
from engine.llm.received import Reply as Answer
from engine.llm.tries import Retry
from engine.settings.models import ModelSpec
from tests.llm_server import LlmServer, Reply, llm_server

PROMPT = [Message("system", "s" * 40), Message("user", "u" * 60)]
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
TEXT = "the whole answer"


@pytest.fixture(scope="module")
def server() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(autouse=True)
def quick(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    server.requests.clear()


@dataclass
class Outcome:
    """What came of a call."""

    answer: Answer | None = None
    fault: Fault | None = None
    spent: Spent = field(default_factory=Spent)
    told: list[Retry] = field(default_factory=list)


async def ask(
    server: LlmServer, *replies: Reply | Callable[[dict[str, Any]], Reply], times: int = 1, schema: bool = False,
    **spec: Any,
) -> Outcome:  # fmt: skip
    """Ask a model whose endpoint gives these replies, the last one again and again."""
    first = len(server.requests)

    def answer(request: Any) -> Reply:
        reply = replies[min(request.number - first, len(replies) - 1)]
        return reply(request.body) if callable(reply) else reply

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        if seconds > 0.01:
            # Turn the clock on instead of waiting.
            loop = asyncio.get_running_loop()
            clock = loop.time
            loop.time = lambda: clock() + seconds  # type: ignore[method-assign]

    server.answer = answer
    outcome = Outcome()
    client = Client(sleep)
    chosen = ModelSpec(**{"model": "m", "base_url": server.url, "retries": 1, "price_in": 1.0, **spec})
    try:
        for _ in range(times):
            outcome.answer = await client.ask(
                chosen, PROMPT, outcome.spent, lambda *piece: None, SCHEMA if schema else None,
                on_retry=outcome.told.append,
            )  # fmt: skip
    except Fault as fault:
        outcome.fault = fault
    finally:
        await client.aclose()
    return outcome


# Bodies


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def events(*values: Any, end: str = "\n\n", pre: str = "data: ", done: bool = True) -> Reply:
    said = [
        value if isinstance(value, str) else json.dumps(value) for value in (*values, *(["[DONE]"] if done else []))
    ]
    return Reply(raw="".join(pre + value + end for value in said).encode())


def text(finish: Any = "stop", said: str = TEXT, **more: Any) -> Reply:
    return events(chunk({"role": "assistant", "content": ""}), chunk({"content": said[:5]}),
                  chunk({"content": said[5:]}), chunk({}, finish, **more))  # fmt: skip


def whole(message: Any = None, finish: Any = "stop", kind: str = "application/json", **more: Any) -> Reply:
    choice = {"index": 0, "message": message or {"role": "assistant", "content": TEXT}, "finish_reason": finish}
    return Reply(body={"choices": [choice], "usage": USAGE, **more}, headers={"Content-Type": kind})


def raw(body: str | bytes, kind: str = "text/event-stream", **headers: str) -> Reply:
    return Reply(raw=body.encode() if isinstance(body, str) else body, headers={"Content-Type": kind, **headers})


def refused(status: int, body: Any, **headers: str) -> Reply:
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def line(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


# Answers that are whole


WHOLE = {
    **{f"finish {reason}": text(reason) for reason in (
        "stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE", "FINISH_REASON_STOP",
    )},
    "finish as an object": text({"type": "stop", "matched": 151645}),
    "no finish, [DONE]": text(None),
    "finish an empty string, [DONE]": text(""),
    "no finish, usage, [DONE]": events(chunk({"content": TEXT}), {"id": "x", "choices": [], "usage": USAGE}),
    "finish, no [DONE]": events(chunk({"content": TEXT}), chunk({}, "stop"), done=False),
    "finish on every piece": events(chunk({"content": TEXT[:5]}, "stop"), chunk({"content": TEXT[5:]}, "stop")),
    "finish of the thoughts first": events(
        chunk({"reasoning_content": "hm"}, "stop"), chunk({"content": TEXT}), chunk({}, "stop")
    ),
    "a JSON body": whole(),
    "a JSON body without a finish": whole(finish=None),
    "a JSON body as text": whole(kind="text/plain; charset=utf-8"),
    "a JSON body as events": whole(kind="text/event-stream"),
    "a JSON body behind blank lines": raw("\n\n\n" + json.dumps({"choices": [{"message": {"content": TEXT}}]})),
    "a JSON body behind a BOM": raw(b"\xef\xbb\xbf" + json.dumps({"choices": [{"message": {"content": TEXT}}]}).encode()),
    "a JSON body in a list": Reply(body=[{"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}]),
    "a document a line": raw("\n".join(json.dumps(c) for c in (chunk({"content": TEXT}), chunk({}, "stop"))) + "\n",
                             "application/x-ndjson"),
    "events as JSON": raw(line(chunk({"content": TEXT})) + line(chunk({}, "stop")), "application/json"),
    "CRLF, no blank": events(chunk({"content": TEXT}), chunk({}, "stop"), end="\r\n\r\n", pre="data:"),
    "lone CR": events(chunk({"content": TEXT}), chunk({}, "stop"), end="\r\r"),
    "no blank lines": events(chunk({"content": TEXT}), chunk({}, "stop"), end="\n"),
    "framed twice": events(chunk({"content": TEXT}), chunk({}, "stop"), pre="data: data: "),
    "a value over several lines": raw('data: {"choices": [\ndata: {"delta": {"content": "' + TEXT
                                      + '"},\ndata: "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'),
    "comments, ids and names": raw(": PROCESSING\n\nid: 1\nevent: message\nretry: 3\n" + line(chunk({"content": TEXT}))
                                   + ": still\n\n" + line(chunk({}, "stop")) + "data:\n\ndata: [DONE]\n\n"),
    "gzip": raw(gzip.compress(text().raw), **{"Content-Encoding": "gzip"}),
    "choices null, delta null": events({"choices": None}, chunk(None), chunk({"content": TEXT}), chunk(None, "stop")),
    "reports of a filter": events(
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}, chunk({"content": TEXT}),
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 4}}]},
        chunk({}, "stop"),
    ),
    "an empty error in every piece": events(
        chunk({"content": TEXT}, error=None), chunk({}, "stop", error={"message": "", "code": None})
    ),
    "old completions": events({"choices": [{"index": 0, "text": TEXT, "finish_reason": "stop"}]}),
    "the message again at the end": events(
        chunk({"content": TEXT}), {"choices": [{"index": 0, "delta": {}, "message": {"content": TEXT}, "finish_reason": "stop"}]}
    ),
    "the message so far each time": events(
        {"choices": [{"index": 0, "message": {"content": TEXT[:4]}}]},
        {"choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}]},
    ),
    "another choice between": events(
        {"choices": [{"index": 1, "delta": {"content": "junk"}}, {"index": 0, "delta": {"content": TEXT}}]},
        {"choices": [{"index": 1, "delta": {"content": "junk"}, "finish_reason": "length"}]}, chunk({}, "stop"),
    ),
    "index 1 only": events({"choices": [{"index": 1, "delta": {"content": TEXT}, "finish_reason": "stop"}]}),
    "no index": events({"choices": [{"delta": {"content": TEXT}, "finish_reason": "stop"}]}),
    "parts": events(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        chunk({"content": [{"type": "text", "text": TEXT}]}), chunk({}, "stop"),
    ),
    "thoughts in parts, text in strings": events(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        chunk({"content": TEXT}), chunk({}, "stop"),
    ),
    "parts marked as thoughts": whole({"content": [{"text": "hm", "thought": True}, {"text": TEXT}]}),
    "details of thoughts": events(
        chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
        chunk({"content": TEXT}), chunk({}, "stop"),
    ),
    "finish of tools with text": text("tool_calls"),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_answer_is_taken(server: LlmServer, name: str) -> None:
    outcome = await ask(server, WHOLE[name])
    assert outcome.fault is None and outcome.answer is not None
    answer = outcome.answer
    assert (answer.text, answer.truncated, answer.refused) == (TEXT, False, False)
    assert answer.reasoning in ("", "hm")
    assert len(server.requests) == 1


# Answers that are not


@pytest.mark.parametrize(
    "reason", ["length", "model_length", "max_tokens", "MAX_TOKENS", "abort", "OTHER", "model_context_window_exceeded"]
)
async def test_answer_that_ends_for_another_reason_is_not_whole(server: LlmServer, reason: str) -> None:
    for reply in (text(reason), whole(finish=reason)):
        answer = (await ask(server, reply)).answer
        assert answer is not None and (answer.text, answer.truncated) == (TEXT, True)


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "sensitive", "refusal"]
)
async def test_filtered_answer_is_refused(server: LlmServer, reason: str) -> None:
    for said in ("", TEXT):
        outcome = await ask(server, text(reason, said))
        assert outcome.answer is not None and outcome.answer.refused
    assert len(server.requests) == 2


HALF = chunk({"content": TEXT[:5]})
BROKEN = {
    "error in a choice": (
        events(HALF, {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error",
                                   "error": {"code": 502, "message": "Upstream worker died"}}]}),
        "down", "broke off with an error (502): Upstream worker died", 2,
    ),
    "finish error alone": (events(HALF, chunk({}, "error")), "down", "ended with 'error'", 2),
    "no resources": (events(HALF, chunk({}, "insufficient_system_resource")), "down", "insufficient_system_resource", 2),
    "network error": (events(HALF, chunk({}, "network_error")), "down", "network_error", 2),
    "error beside choices": (
        events(HALF, {"choices": [], "error": {"code": 502, "message": "Upstream worker died"}}),
        "down", "Upstream worker died", 2,
    ),
    "error as a text": (
        events({"error": "model runner has unexpectedly stopped"}), "down", "model runner has unexpectedly stopped", 2,
    ),
    "error in an event": (
        raw(line(HALF) + 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": '
            '"Overloaded"}}\n\n'), "down", "Overloaded", 2,
    ),
    "error in an event without JSON": (raw(line(HALF) + "event: error\ndata: worker lost\n\n"), "down", "worker lost", 2),
    "error without a frame": (
        raw(line(HALF) + '{"error": {"message": "CUDA out of memory", "code": 500}}\n'), "down", "CUDA out of memory", 2,
    ),
    "error that quotes badly": (
        raw(line(chunk({"role": "assistant"})) + 'data: {"error": "maximum context length is "64" tokens"}\n\n'),
        "context", "maximum context length is \"64\" tokens", 1,
    ),
    "rate": (Reply(body={"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}}),
             "down", "is overloaded (429)", 2),
    "key": (Reply(body={"error": {"code": 401, "message": "No auth credentials found"}}), "auth", "OPENAI_API_KEY", 1),
    "key by its words": (events({"error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
                         "auth", "OPENAI_API_KEY", 1),
    "account": (events({"error": {"code": "402", "message": "Insufficient credits"}}), "quota", "nothing left", 1),
    "account by its words": (events({"error": {"code": "1113", "message": "Insufficient balance, recharge"}}),
                             "quota", "nothing left", 1),
    "account, in a vendor's form": (
        Reply(body={"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        "quota", "nothing left", 1,
    ),
    "key, in a vendor's form": (
        Reply(body={"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}}),
        "auth", "OPENAI_API_KEY", 1,
    ),
    "model": (Reply(body={"error": "model 'x' not found"}), "model", "knows no model 'm'", 1),
    "context": (
        Reply(body={"error": {"code": 400, "message": "the request exceeds the available context size",
                              "type": "exceed_context_size_error"}}), "context", "too long", 1,
    ),
    "context, in another form": (
        Reply(body={"object": "error", "message": "This model's maximum context length is 64 tokens", "code": 400}),
        "context", "too long", 1,
    ),
    "context, from behind a gateway": (
        Reply(body={"error": {"message": "Provider returned error", "code": 400, "metadata": {
            "raw": '{"error": {"message": "This model\'s maximum context length is 8192 tokens"}}'}}}),
        "context", "maximum context length is 8192", 1,
    ),
    "policy": (events({"error": {"code": "content_filter", "message": "The response was filtered"}}),
               "moderation", "declines", 1),
    "another path": (Reply(body={"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
                     "model", "does the base URL end in /v1?", 1),
    "another service": (Reply(body={"detail": "Not Found"}), "model", "does the base URL end in /v1?", 1),
    "errors of a gateway": (
        Reply(body={"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}),
        "auth", "OPENAI_API_KEY", 1,
    ),
    "HTML": (raw("<html><h1>Login</h1></html>", "text/html"), "model", "it answered HTML; does the base URL end in /v1?", 1),
    "text": (raw("It works!", "text/plain"), "model", "it answered 'It works!'", 1),
    "other JSON": (Reply(body={"object": "list", "data": []}), "model", "JSON without `choices`", 1),
    "end of the connection": (events(HALF, done=False), "down", "cut an answer off", 2),
    "half a JSON body": (raw('{"choices": [{"message": {"content": "ha', "application/json"), "down", "not JSON", 2),
    "no JSON": (raw("data: {nothing\n\n"), "down", "not JSON", 2),
    "thoughts only": (events(chunk({"reasoning_content": TEXT}), chunk({}, "stop")),
                      "answer", "answers in its thoughts only (reasoning_content)", 1),
    "thoughts only, another field": (events(chunk({"reasoning": TEXT, "content": None}), chunk({}, "stop")),
                                     "answer", "answers in its thoughts only (reasoning)", 1),
    "thoughts up to the limit": (events(chunk({"reasoning_content": "hm" * 90}), chunk({}, "length")),
                                 "answer", "the token limit was spent on thoughts: raise max_tokens or lower "
                                           "reasoning_effort", 1),
    "blanks up to the limit": (text("length", "\n" * 90), "answer", "only blanks, up to its token limit", 1),
    "hidden thoughts up to the limit": (whole({"role": "assistant"}, "MAX_TOKENS"),
                                        "answer", "the token limit was spent on thoughts", 1),
    "a tool": (
        events(chunk({"tool_calls": [{"index": 0, "function": {"name": "answer", "arguments": "{}"}}]}),
               chunk({}, "tool_calls")), "answer", "tool_calls only (a call of 'answer')", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_answer_that_is_none_is_fault_that_it_means(server: LlmServer, name: str) -> None:
    reply, kind, says, requests = BROKEN[name]
    outcome = await ask(server, reply)
    fault = outcome.fault
    assert fault is not None
    assert (fault.kind, says in fault.message) == (kind, True), fault.message
    assert len(server.requests) == requests
    if kind not in ("down", "answer"):
        assert outcome.spent == Spent(), "what is refused costs nothing"


async def test_try_after_broken_answer_is_taken(server: LlmServer) -> None:
    outcome = await ask(server, BROKEN["error in a choice"][0], text())
    assert outcome.answer is not None and outcome.answer.text == TEXT
    assert (outcome.spent.retries, [retry.fault for retry in outcome.told]) == (1, ["down"])
    assert outcome.spent.tokens_out > 2, "the broken try was billed"


REFUSALS = {
    "key, as a list": (refused(400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                                                "status": "INVALID_ARGUMENT"}}]), "auth", "OPENAI_API_KEY", None),
    "key that a gateway would look up": (
        refused(400, {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}),
        "auth", "the key in OPENAI_API_KEY is wrong", None,
    ),
    "overloaded": (refused(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                   "down", "is overloaded (529): Overloaded", None),
    "rate with a delay": (
        refused(429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota",
                                 "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}]), "down", "overloaded", 34.0,
    ),
    "rate in words": (refused(429, {"error": {"message": "Rate limit reached. Please try again in 1.5s."}}),
                      "down", "overloaded", 1.5),
    "rate in milliseconds": (refused(429, {"error": {"message": "slow down"}}, retry_after_ms="1500"), "down", "slow", 1.5),
    "rate in minutes": (refused(429, {"error": {"message": "Please try again in 6m0s"}}), "down", "overloaded", 60.0),
    "account, in words": (refused(400, {"type": "error", "error": {"type": "invalid_request_error",
                                        "message": "Your credit balance is too low to access the API."}}),
                          "quota", "nothing left", None),
    "context as 500": (refused(500, {"error": {"code": 500, "message": "Context size has been exceeded.",
                                               "type": "server_error"}}), "context", "too long", None),
    "more than a minute takes": (
        refused(429, {"error": {"message": "Request too large for model `m` on tokens per minute (TPM): Limit 6000, "
                                           "Requested 9500", "code": "rate_limit_exceeded"}}), "context", "too long", None,
    ),
    "slow upstream": (refused(504, "upstream request took too long"), "down", "fails (504)", None),
    "page of a proxy": (
        refused(503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
        "down", "fails (503): 503 Service Temporarily Unavailable", None,
    ),
    "path": (refused(404, "404 page not found"), "model", "does the base URL end in /v1?", None),
    "path, as a page": (refused(404, "<html><pre>Cannot POST /chat/completions</pre></html>"),
                        "model", "does the base URL end in /v1?", None),
    "method": (refused(405, {"detail": "Method Not Allowed"}), "model", "does the base URL end in /v1?", None),
    "deployment": (refused(404, {"error": {"code": "DeploymentNotFound",
                                           "message": "The API deployment for this resource does not exist."}}),
                   "model", "knows no model 'm'", None),
    "policy of a cloud": (
        refused(400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                                "management policy.", "code": "content_filter", "param": "prompt"}}),
        "moderation", "declines", None,
    ),
    "a value of a person": (refused(400, {"error": {"message": "temperature must be between 0 and 2"}}),
                            "bad_request", "between 0 and 2", None),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusal_is_fault_that_it_means(server: LlmServer, name: str) -> None:
    reply, kind, says, wait = REFUSALS[name]
    fault = (await ask(server, reply, retries=0, temperature=0.5)).fault
    assert fault is not None
    assert (fault.kind, says in fault.message, fault.wait) == (kind, True, wait), fault.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "context"),
    [
        ("This model's maximum context length is 16384 tokens. However, your prompt contains at least 16385", 16384),
        ("request (5013 tokens) exceeds the available context size (4096 tokens), try increasing it", 4096),
        ("Requested tokens (5013) exceed context window of 2048", 2048),
        ("prompt is too long: 204801 tokens > 200000 maximum", 200_000),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1,048,576).", 1_048_576),
        ("Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9500", 0),
        ("Request too large: Limit 8000, Requested 9500 tokens per minute", 0),
        ("the prompt is too long", 0),
        ("the prompt is too long: the limit is 4 MB", 0),
    ],
)
async def test_context_is_read_from_refusal(server: LlmServer, said: str, context: int) -> None:
    fault = (await ask(server, refused(400, {"error": {"message": said}}))).fault
    assert fault is not None and (fault.kind, fault.context) == ("context", context)


@pytest.mark.parametrize("there", ["/v1/elsewhere", "/nowhere"])
async def test_redirect_that_loses_request_is_told(server: LlmServer, there: str) -> None:
    address = server.url.removesuffix("/v1") + there
    server.listing = refused(404, "Not Found") if there == "/nowhere" else None
    fault = (await ask(server, refused(301, "moved", Location=f"{address}/chat/completions"))).fault
    server.listing = None
    assert fault is not None and fault.kind == "model"
    assert f"redirects to {address}: set base_url" in fault.message
    assert len(server.requests) == 1


# Figures


FIGURES: dict[str, tuple[dict[str, Any] | None, tuple[int, int, int], bool]] = {
    "zeros": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (25, 2, 0), True),
    "zero answer": ({"prompt_tokens": 9, "completion_tokens": 0}, (9, 2, 0), True),
    "none": (None, (25, 2, 0), True),
    "a total only": ({"total_tokens": 120000}, (25, 2, 0), True),
    "cached above prompt": ({"prompt_tokens": 100, "completion_tokens": 20,
                             "prompt_tokens_details": {"cached_tokens": 100000}}, (100, 20, 100), False),
    "texts": ({"prompt_tokens": "100", "completion_tokens": "20"}, (100, 20, 0), False),
    "negative": ({"prompt_tokens": -1, "completion_tokens": 20}, (25, 20, 0), True),
    "other names": ({"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 60}, (100, 20, 60), False),
    "hits of the cache": ({"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64}, (100, 20, 64), False),
    "thoughts in the total": ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 520}, (100, 420, 0), False),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
async def test_figures_are_read_or_estimated(server: LlmServer, name: str) -> None:
    usage, expected, estimated = FIGURES[name]
    spent = (await ask(server, text(said="ab cd", usage=usage), price_cached=0.5)).spent
    assert ((spent.tokens_in, spent.tokens_out, spent.tokens_cached), spent.estimated) == (expected, estimated)
    assert spent.usd == pytest.approx((expected[0] - 0.5 * expected[2]) / 1e6)


@pytest.mark.parametrize("place", ["every piece", "x_groq", "choice", "zeros at the end"])
async def test_figures_are_counted_once_wherever_they_stand(server: LlmServer, place: str) -> None:
    so_far = {"prompt_tokens": 100, "completion_tokens": 7}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}
    ends = {
        "every piece": [chunk({"content": "a"}, usage=so_far), chunk({}, "stop", usage=USAGE)],
        "x_groq": [chunk({"content": "a"}), chunk({}, "stop", x_groq={"usage": USAGE})],
        "choice": [chunk({"content": "a"}), {"choices": [choice]}],
        "zeros at the end": [chunk({"content": "a"}, usage=USAGE), chunk({}, "stop", usage={"prompt_tokens": 0})],
    }
    spent = (await ask(server, events(*ends[place]))).spent
    assert (spent.tokens_in, spent.tokens_out, spent.estimated) == (100, 20, False)


# Forms of requests


def unless(field_: str, reply: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Refuse requests with a field."""
    return lambda body: reply if body.get(field_) else whole() if not body["stream"] else text()


def with_system(reply: Reply) -> Callable[[dict[str, Any]], Reply]:
    return lambda body: reply if any(m["role"] == "system" for m in body["messages"]) else text()


def says(status: int, message: str, **more: Any) -> Reply:
    return refused(status, {"error": {"message": message, "type": "invalid_request_error", **more}})


BOTH = says(400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
FORMS: dict[str, tuple[Callable[[dict[str, Any]], Reply], dict[str, Any], str]] = {
    "schema 400": (unless("response_format", says(400, "unknown field response_format")), {"schema": True}, "schema"),
    "schema 400, in a text": (
        unless("response_format", refused(400, {"error": "'response_format.type' must be 'text'"})), {"schema": True},
        "schema",
    ),
    "schema 404": (
        unless("response_format", says(404, "No endpoints found that can handle the requested parameters.")),
        {"schema": True}, "schema",
    ),
    "schema 422": (
        unless("response_format", refused(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"],
                                                            "msg": "Extra inputs are not permitted"}]})),
        {"schema": True}, "schema",
    ),
    "schema 500": (unless("response_format", says(500, "failed to parse grammar")), {"schema": True}, "schema"),
    "schema 501": (unless("response_format", says(501, "not implemented")), {"schema": True}, "schema"),
    "schema, within the answer": (
        unless("response_format", events({"error": {"message": "Unsupported JSON schema", "code": 400}})),
        {"schema": True}, "schema",
    ),
    "schema answered with nothing": (
        unless("response_format", events(chunk({"content": ""}), chunk({}, "stop"))), {"schema": True}, "schema"
    ),
    "schema answered in thoughts": (
        unless("response_format", events(chunk({"reasoning_content": "hm"}), chunk({}, "stop"))), {"schema": True}, "schema"
    ),
    "token counts": (
        unless("stream_options", refused(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
                                                           "msg": "Extra inputs are not permitted"}]})), {}, "estimated",
    ),
    "system role": (with_system(refused(400, {"object": "error", "message": "System role not supported", "code": 400})), {},
                    "system role"),
    "system role, in a template": (
        with_system(says(500, "Error: Jinja Exception: Conversation roles must alternate user/assistant/user/...")), {},
        "system role",
    ),
    "system role, by its place": (
        with_system(says(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.")), {},
        "system role",
    ),
    "system role, with a schema": (
        with_system(says(400, "Only user, assistant and tool roles are supported, got system")), {"schema": True},
        "system role",
    ),
    "temperature": (
        unless("temperature", says(400, "Unsupported value: 'temperature' does not support 0.6 with this model. Only the "
                                        "default (1) value is supported.", param="temperature")),
        {"temperature": 0.6}, "`temperature`",
    ),
    "temperature or top_p": (
        lambda body: BOTH if {"temperature", "top_p"} <= set(body) else text(), {"temperature": 0.6, "top_p": 0.9}, "`top_p`"
    ),
    "seed": (unless("seed", says(400, "Unknown name \"seed\": Cannot find field.")), {"extra_body": {"seed": 7}}, "`seed`"),
    "effort": (
        unless("reasoning_effort", says(400, "Unrecognized request argument supplied: reasoning_effort")),
        {"reasoning_effort": "low"}, "`reasoning_effort`",
    ),
    "limit": (
        unless("max_tokens", says(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                                       "'max_completion_tokens' instead.")),
        {"max_tokens": 500}, "`max_completion_tokens` is sent instead",
    ),
    "limit, the old name": (
        unless("max_completion_tokens", refused(422, {"detail": [{"loc": ["body", "max_completion_tokens"],
                                                                  "msg": "Extra inputs are not permitted"}]})),
        {"max_completion_tokens": 500}, "`max_tokens` is sent instead",
    ),
    "streaming": (
        unless("stream", says(400, "Your organization must be verified to stream this model.", param="stream")), {},
        "does not stream",
    ),
    "streaming 403": (unless("stream", says(403, "Streaming is not supported for this model.")), {}, "does not stream"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
async def test_refused_form_is_changed_once_and_told_once(server: LlmServer, name: str) -> None:
    answer, options, told = FORMS[name]
    outcome = await ask(server, answer, times=2, **options)
    assert outcome.fault is None and outcome.answer is not None, outcome.fault and outcome.fault.message
    assert outcome.answer.text == TEXT
    # The second call knows.
    assert len(server.requests) == 3
    assert [retry.fault for retry in outcome.told] == ["form"]
    assert told in outcome.told[0].reason
    sent = [message["content"] for message in server.requests[-1].body["messages"]]
    assert "s" * 40 in sent[0] and "u" * 60 in sent[-1], "nothing of the prompt is lost"


async def test_forms_are_refused_one_after_another(server: LlmServer) -> None:
    def strict(body: dict[str, Any]) -> Reply:
        if any(message["role"] == "system" for message in body["messages"]):
            return says(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.")
        for name in ("max_tokens", "temperature", "stream"):
            if body.get(name):
                return says(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        return whole()

    outcome = await ask(server, strict, times=2, temperature=0.5, max_tokens=100)
    assert outcome.answer is not None and outcome.answer.text == TEXT
    assert (len(server.requests), len(outcome.told)) == (6, 1)
    assert server.requests[-1].body["max_completion_tokens"] == 100


async def test_outage_is_not_blamed_on_schema(server: LlmServer) -> None:
    down = says(500, "internal error")
    outcome = await ask(server, down, schema=True)
    assert outcome.fault is not None and outcome.fault.kind == "down"
    assert ["response_format" in request.body for request in server.requests] == [True, False, True]
    # One failure that passed tells nothing; the schema is sent again.
    server.requests.clear()
    outcome = await ask(server, down, text(), text(), times=2, schema=True)
    assert ["response_format" in request.body for request in server.requests] == [True, False, True]
    assert outcome.told == []


async def test_reason_of_an_empty_stream_is_asked_for_without_streaming(server: LlmServer) -> None:
    nothing = raw("\n")
    outcome = await ask(server, nothing, says(400, "This model's maximum context length is 4096 tokens"))
    assert outcome.fault is not None and (outcome.fault.kind, outcome.fault.context) == ("context", 4096)
    assert outcome.spent == Spent(), "what is refused costs nothing"
    assert [request.body["stream"] for request in server.requests] == [True, False]
    # It may close the connection on which the second request is sent.
    server.requests.clear()
    outcome = await ask(server, nothing, Reply(end="unanswered"), says(400, "the prompt is too long"))
    assert outcome.fault is not None and outcome.fault.kind == "context"
    assert [request.body["stream"] for request in server.requests] == [True, False, False]
    # An endpoint that never streams is known after the second time.
    server.requests.clear()
    outcome = await ask(server, lambda body: nothing if body["stream"] else whole(), times=3)
    assert outcome.answer is not None and outcome.answer.text == TEXT
    assert [request.body["stream"] for request in server.requests] == [True, False, True, False, False]
    assert [retry.fault for retry in outcome.told] == ["form"]
    server.requests.clear()
    outcome = await ask(server, nothing)
    assert outcome.fault is not None and "answered with an empty body" in outcome.fault.message
    assert len(server.requests) == 3


async def test_form_can_be_said_outright(server: LlmServer) -> None:
    outcome = await ask(server, whole(), system_role="merge", stream=False)
    assert outcome.answer is not None and outcome.told == []
    (request,) = server.requests
    assert [message["role"] for message in request.body["messages"]] == ["user"]
    assert request.body["stream"] is False and "stream_options" not in request.body
