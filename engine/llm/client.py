"""Send requests to OpenAI-compatible endpoints: stream, time, retry and count them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from engine.evaluation.capacity import CapacityLimiter
from engine.llm.faults import Fault, check_key, fault_of, key_of, place_of
from engine.llm.messages import Message
from engine.settings.models import ModelSpec

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["Client", "Reply", "Spent", "estimate_tokens", "list_models"]

_FIRST_WAIT, _LAST_WAIT = 0.5, 30.0
"""Seconds before the first retry, and at most before any other; doubled from one to the next."""
_LONGEST_ANSWER = 1_000_000
"""Most characters of an answer, thoughts included; an endpoint that sends more is cut off."""

OnText = Callable[[str, bool], None]
"""Called with each piece of an answer as it arrives, and whether it is thought."""


@dataclass
class Spent:
    """The cost of a request so far, failed tries included."""

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    usd: float = 0.0
    estimated: bool = False
    """Whether any figure is our estimate, not the server's."""
    retries: int = 0
    """Tries after the first."""


@dataclass(frozen=True)
class Reply:
    """A whole answer as received."""

    text: str
    reasoning: str
    refused: bool
    truncated: bool


@dataclass
class _Endpoint:
    """State shared by all models behind one address."""

    slots: CapacityLimiter
    not_before: float = 0.0
    """Loop time before which the endpoint wants no request."""
    counts_usage: bool = True
    """False after it has refused to report token counts."""


class Client:
    """Ask models; keep connections open between requests.

    Args:
        sleep: waits this many seconds; it may raise to end the wait.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._sleep = sleep
        self._connections: dict[tuple[str, str, float], AsyncOpenAI] = {}
        self._endpoints: dict[str, _Endpoint] = {}
        self._library: asyncio.Future[ModuleType] | None = None
        self._no_schema: set[tuple[str, str]] = set()
        """Address and model of those that have refused a schema."""

    def prepare(self) -> asyncio.Future[ModuleType]:
        """Load the library for requests in a thread, which takes a second; the future is done when it is loaded."""
        if self._library is None:
            self._library = asyncio.ensure_future(asyncio.to_thread(import_module, "openai"))
        # A caller that is cancelled while waiting must not cancel the load for others.
        return asyncio.shield(self._library)

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        spent: Spent,
        on_text: OnText,
        schema: dict[str, Any] | None = None,
        concurrency: int = 0,
    ) -> Reply:
        """Ask a model and return its answer, after as many tries as the model is given.

        Args:
            spec: the model.
            messages: the prompt.
            spent: receives the cost of each try, also of failed ones.
            on_text: receives each piece of the answer as it arrives; an empty piece before a new start.
            schema: the JSON schema of the answer, sent if the endpoint supports schemas.
            concurrency: requests to the endpoint at once; by default the model's setting.

        Raises:
            Fault: there was no answer.
        """
        await self.prepare()
        endpoint = self._endpoints.setdefault(spec.base_url, _Endpoint(CapacityLimiter(1)))
        endpoint.slots.limit = concurrency or spec.concurrency
        loop = asyncio.get_running_loop()
        failures = 0
        anew = True
        while True:
            while endpoint.not_before > loop.time():
                await self._sleep(endpoint.not_before - loop.time())
            try:
                async with endpoint.slots:
                    # Raises if the wait was ended while this request waited for its turn.
                    await self._sleep(0)
                    reply = await self._adapted(spec, endpoint, messages, schema, spent, on_text)
                if reply.text or reply.refused or reply.truncated or failures >= spec.retries:
                    return reply
                wait = None
            except Fault as fault:
                if fault.unanswered and anew:
                    # The endpoint has closed a connection kept from an earlier answer: this costs no try.
                    anew = False
                    continue
                if not fault.passing or failures >= spec.retries:
                    raise
                wait = fault.wait
            if wait is not None:
                endpoint.not_before = max(endpoint.not_before, loop.time() + wait)
            else:
                await self._sleep(min(_LAST_WAIT, _FIRST_WAIT * 2**failures) * random.uniform(0.5, 1.0))
            failures += 1
            spent.retries += 1
            on_text("", False)

    async def _adapted(
        self,
        spec: ModelSpec,
        endpoint: _Endpoint,
        messages: Sequence[Message],
        schema: dict[str, Any] | None,
        spent: Spent,
        on_text: OnText,
    ) -> Reply:
        """Make one try; repeat it without the parameters that the endpoint refuses."""
        name = (spec.base_url, spec.model)
        if spec.structured == "off" or (spec.structured == "auto" and name in self._no_schema):
            schema = None
        while True:
            try:
                return await self._once(spec, endpoint, messages, schema, spent, on_text)
            except Fault as fault:
                if fault.kind != "bad_request" or fault.status not in (400, 422):
                    raise
                if endpoint.counts_usage and "stream_options" in fault.message:
                    endpoint.counts_usage = False
                elif schema is not None and spec.structured == "auto":
                    reply = await self._once(spec, endpoint, messages, None, spent, on_text)
                    self._no_schema.add(name)
                    return reply
                else:
                    raise

    async def _once(
        self,
        spec: ModelSpec,
        endpoint: _Endpoint,
        messages: Sequence[Message],
        schema: dict[str, Any] | None,
        spent: Spent,
        on_text: OnText,
    ) -> Reply:
        """Send one request and stream its answer to the end."""
        from openai import AsyncStream

        check_key(spec)
        loop = asyncio.get_running_loop()
        last = loop.time() + spec.total_seconds
        got = _Received(on_text)
        sent = False
        try:
            async with asyncio.timeout_at(min(last, loop.time() + spec.first_token_seconds)) as clock:
                try:
                    stream = await self._connection(spec).post(
                        "/chat/completions",
                        # Read plain data: an object per piece of an answer would cost more than all the rest.
                        cast_to=object,
                        body=_body(spec, messages, schema, endpoint.counts_usage),
                        stream=True,
                        stream_cls=AsyncStream[object],
                    )
                    sent = True
                    try:
                        if "json" in stream.response.headers.get("content-type", ""):
                            got.take(json.loads(await stream.response.aread()))
                        else:
                            async for chunk in stream:
                                got.take(chunk)
                                if got.begun:
                                    clock.reschedule(min(last, loop.time() + spec.idle_seconds))
                                if got.size > _LONGEST_ANSWER:
                                    got.finish = "length"
                                    break
                    finally:
                        await stream.close()
                except Exception as error:
                    # An error that is not the endpoint's is raised unchanged.
                    fault = fault_of(error, spec)
                    fault.unanswered &= not sent
                    raise fault from None
        except TimeoutError:
            sent = True
            if not got.begun:
                limit = min(spec.first_token_seconds, spec.total_seconds)
                raise Fault("down", f"{place_of(spec)} sent nothing within {limit:g} s", passing=True) from None
            if loop.time() < last:
                raise Fault(
                    "down", f"{place_of(spec)} fell silent for {spec.idle_seconds:g} s within an answer", passing=True
                ) from None
            # The part received so far counts as an answer that is too long.
            got.finish = "length"
        except asyncio.CancelledError:
            sent = True
            raise
        finally:
            if sent or got.begun:
                _count(spent, spec, messages, got)
        if not got.finish:
            raise Fault("down", f"{place_of(spec)} cut an answer off", passing=True)
        return Reply(
            text=_clean("".join(got.text) or "".join(got.refusal)),
            reasoning=_clean("".join(got.reasoning)),
            refused=bool(got.refusal) or got.finish == "content_filter",
            truncated=got.finish == "length",
        )

    def _connection(self, spec: ModelSpec) -> AsyncOpenAI:
        key = key_of(spec)
        name = (spec.base_url, key, spec.connect_seconds)
        if name not in self._connections:
            from openai import AsyncOpenAI, Timeout

            self._connections[name] = AsyncOpenAI(
                # An endpoint that needs no key accepts any.
                api_key=key or "none",
                base_url=spec.base_url or None,
                max_retries=0,
                timeout=Timeout(None, connect=spec.connect_seconds),
            )
        return self._connections[name]

    async def aclose(self) -> None:
        """Close all connections."""
        if self._library is not None:
            await self._library
        for connection in self._connections.values():
            await connection.close()
        self._connections.clear()


def list_models(spec: ModelSpec, seconds: float) -> list[str] | Fault:
    """Return the names of the models that an endpoint lists, or the fault if it lists none."""
    from openai import OpenAI

    try:
        check_key(spec)
        with OpenAI(
            api_key=key_of(spec) or "none", base_url=spec.base_url or None, max_retries=0, timeout=seconds
        ) as connection:
            return [model.id for model in connection.models.list()]
    except Fault as fault:
        return fault
    except Exception as error:
        return fault_of(error, spec)


class _Received:
    """Collect the pieces of one answer."""

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.size = 0
        self.finish = ""
        self.usage: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        return self.size > 0

    def take(self, chunk: object) -> None:
        """Add one piece; tolerate the variants of the format that endpoints send."""
        if not isinstance(chunk, dict):
            return
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        self.finish = str(choice.get("finish_reason") or self.finish)
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return
        for thought in (delta.get("reasoning_content"), delta.get("reasoning")):
            if isinstance(thought, str) and thought:
                self._add(self.reasoning, thought, True)
                break
        for pieces, name in ((self.text, "content"), (self.refusal, "refusal")):
            if isinstance(delta.get(name), str) and delta[name]:
                self._add(pieces, delta[name], False)

    def _add(self, pieces: list[str], piece: str, thought: bool) -> None:
        pieces.append(piece)
        self.size += len(piece)
        self._on_text(piece, thought)


def _body(
    spec: ModelSpec, messages: Sequence[Message], schema: dict[str, Any] | None, counts_usage: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": spec.model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "stream": True,
    }
    if counts_usage:
        body["stream_options"] = {"include_usage": True}
    for name in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort"):
        if getattr(spec, name) is not None:
            body[name] = getattr(spec, name)
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    return body | spec.extra_body


def estimate_tokens(characters: int) -> int:
    """Estimate the number of tokens in a text of this many characters."""
    return -(-characters // 4)


def _count(spent: Spent, spec: ModelSpec, messages: Sequence[Message], got: _Received) -> None:
    """Add the cost of one try: the server's figures, else our estimate."""
    tokens_in, tokens_out = _number(got.usage.get("prompt_tokens")), _number(got.usage.get("completion_tokens"))
    details = got.usage.get("prompt_tokens_details")
    cached = int(_number(details.get("cached_tokens")) or 0) if isinstance(details, dict) else 0
    if tokens_in is None or tokens_out is None:
        spent.estimated = True
        tokens_in = estimate_tokens(sum(len(message.content) for message in messages))
        tokens_out = estimate_tokens(got.size)
    cost = _number(got.usage.get("cost"))
    if cost is None:
        price_in, price_out = spec.price_in or 0.0, spec.price_out or 0.0
        price_cached = price_in if spec.price_cached is None else spec.price_cached
        cost = ((tokens_in - cached) * price_in + cached * price_cached + tokens_out * price_out) / 1e6
    spent.tokens_in += int(tokens_in)
    spent.tokens_out += int(tokens_out)
    spent.tokens_cached += cached
    spent.usd += max(0.0, cost)


def _number(value: object) -> float | None:
    """Return a figure of the server if it is plausible, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None


def _clean(text: str) -> str:
    """Return text that can be encoded as UTF-8: JSON may contain lone surrogates."""
    return text.encode("utf-8", "replace").decode()
