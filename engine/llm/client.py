"""Send requests to OpenAI-compatible endpoints: stream, time, retry and count them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from engine.evaluation.capacity import CapacityLimiter
from engine.llm import forms
from engine.llm.accounts import characters, count, learn
from engine.llm.connections import Connections
from engine.llm.faults import NO_TEXT, Fault, check_key, fault_of, moved, place_of
from engine.llm.forms import Form, body_of, first_form, has_schema
from engine.llm.frames import Frames
from engine.llm.library import load_openai
from engine.llm.messages import Message
from engine.llm.meter import AnswerMeter
from engine.llm.patience import Patience, Pulse, Shown, estimate_tokens, tap
from engine.llm.received import OnText, Received, Reply, reply_of
from engine.llm.responses import Items
from engine.llm.tries import Retry, Spent, Wait, retry_of
from engine.settings.models import ModelSpec
from engine.text import sentence

__all__ = ["Client", "Reply", "Retry", "Spent", "estimate_tokens"]

_FIRST_WAIT, _LAST_WAIT = 0.5, 30.0
"""Seconds before the first retry, and at most before any other; doubled from one to the next."""
_LONGEST_ANSWER = 1_000_000
"""Most characters of an answer, thoughts included; an endpoint that sends more is cut off."""

_REST_SECONDS = 0.1
"""Seconds to wait for the end of a body whose answer is complete, so that its connection can be used again."""


_MOST_CHANGES = 10
"""Most forms of one request that are tried one after another; a refused one costs nothing."""
_DOUBTS = 2
"""How often a failure without a reason must be put down to a schema or to streaming before it is left out."""


@dataclass
class _Endpoint:
    """State shared by all models behind one address."""

    slots: CapacityLimiter
    not_before: float = 0.0
    """Loop time before which the endpoint wants no request."""
    said: str = ""
    """Why it wants none."""
    forms: dict[str, Form] = field(default_factory=dict)
    """The form in which it takes requests, by model, where it has refused another."""
    doubts: dict[str, int] = field(default_factory=dict)
    """How often a model answered in another form after it had failed and had not said why."""
    pulse: Pulse = field(default_factory=Pulse)
    shown: dict[str, Shown] = field(default_factory=dict)
    """What it has shown, by model."""


class Client:
    """Ask models; keep connections open between requests.

    Args:
        sleep: waits this many seconds; it may raise to end the wait.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._sleep = sleep
        self._connections = Connections()
        self._endpoints: dict[str, _Endpoint] = {}
        self._library: asyncio.Future[ModuleType] | None = None

    def prepare(self) -> asyncio.Future[ModuleType]:
        """Load the library for requests in a thread, which takes a second; the future is done when it is loaded."""
        if self._library is None:
            self._library = asyncio.ensure_future(asyncio.to_thread(load_openai))
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
        cap: int = 0,
        on_retry: Callable[[Retry], None] = lambda retry: None,
        on_wait: Callable[[Wait], None] = lambda wait: None,
        items: Sequence[Items] = (),
    ) -> Reply:
        """Ask a model and return its answer, after as many tries as the model is given.

        Args:
            spec: the model.
            messages: the prompt.
            spent: receives the cost of each try, also of failed ones.
            on_text: receives each piece of the answer as it arrives; an empty piece before a new start.
            schema: the JSON schema of the answer, sent if the endpoint supports schemas.
            concurrency: requests to the endpoint at once; by default the model's setting.
            cap: tokens of an answer, thoughts left out, at which to hang up; 0: never.
            on_retry: called for each try that gave no answer before the next is made, and once for each form of
                request that the endpoint has refused (`form`).
            on_wait: called before each wait for the next try.
            items: for each answer in the prompt its items, which the Responses API takes in place of the text.

        Raises:
            Fault: there was no answer.
        """
        await self.prepare()
        endpoint = self._endpoint(spec)
        endpoint.slots.limit = concurrency or spec.concurrency
        loop = asyncio.get_running_loop()
        failures = 0
        anew = plain = True
        while True:
            while endpoint.not_before > loop.time():
                left = endpoint.not_before - loop.time()
                on_wait(Wait(left, failures + 1, spec.retries + 1, endpoint.said))
                await self._sleep(left)
            before, begun = replace(spent), loop.time()
            fault: Fault | None = None
            try:
                async with endpoint.slots:
                    # Raises if the wait was ended while this request waited for its turn.
                    await self._sleep(0)
                    begun = loop.time()
                    reply = await self._adapted(
                        spec, endpoint, messages, schema, items, spent, on_text, cap, on_retry, plain
                    )
                if reply.text or reply.refused or reply.truncated or failures >= spec.retries:
                    return reply
                wait = None
            except Fault as exc:
                fault = exc
                if fault.unanswered and anew:
                    # The endpoint has closed a connection kept from an earlier answer: this costs no try.
                    anew = False
                    continue
                if not fault.passing or failures >= spec.retries:
                    raise
                # The form is not to blame if the same request failed in another one.
                plain = False
                wait = fault.wait
            retry = retry_of(failures + 1, fault, before, spent, loop.time() - begun)
            on_retry(retry)
            on_text("", False)
            failures += 1
            spent.retries += 1
            # The next try may meet the connection that an answer of this one has left.
            anew = fault is None or not fault.unanswered
            if wait is not None:
                endpoint.not_before, endpoint.said = max(endpoint.not_before, loop.time() + wait), retry.reason
            else:
                wait = min(_LAST_WAIT, _FIRST_WAIT * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
                on_wait(Wait(wait, failures + 1, spec.retries + 1, retry.reason))
                await self._sleep(wait)

    async def _adapted(
        self,
        spec: ModelSpec,
        endpoint: _Endpoint,
        messages: Sequence[Message],
        schema: dict[str, Any] | None,
        items: Sequence[Items],
        spent: Spent,
        on_text: OnText,
        cap: int,
        on_retry: Callable[[Retry], None],
        plain: bool,
    ) -> Reply:
        """Make one try; repeat it in another form if the endpoint refuses this one.

        Args:
            plain: whether a failure that does not say why may be the form's.
        """
        learnt = endpoint.forms.get(spec.model)
        form = first = first_form(spec, learnt)
        changes: list[tuple[str, Fault | None]] = []
        doubtful, anew = False, True
        while True:
            body = body_of(spec, messages, schema, form, items)
            refusal: Fault | None = None
            try:
                reply = await self._once(spec, endpoint, messages, body, spent, on_text, cap)
                if not (has_schema(body) and spec.structured == "auto" and _says_nothing(reply)):
                    break
                change = _without_schema(form)
            except Fault as fault:
                if fault.unanswered and changes and anew:
                    # The refusal has closed the connection that this was sent on.
                    anew = False
                    continue
                refusal = fault
                found = forms.other_api(form, fault, body) if form.api == first.api else None
                found = found or forms.simpler(form, fault, body, spec)
                if fault.said == NO_TEXT and has_schema(body) and spec.structured == "auto":
                    found = _without_schema(form)
                if found is None or len(changes) >= _MOST_CHANGES:
                    raise _telling(fault, changes) from None
                change = found
                if forms.is_guess(form, change[0], fault):
                    if not plain:
                        raise
                    doubtful = True
            form = change[0]
            changes.append((change[1], refusal))
            on_text("", False)
        self._learn_form(spec, endpoint, form, changes, doubtful, spent, on_retry)
        return reply

    def _learn_form(
        self,
        spec: ModelSpec,
        endpoint: _Endpoint,
        form: Form,
        changes: Sequence[tuple[str, Fault | None]],
        doubtful: bool,
        spent: Spent,
        on_retry: Callable[[Retry], None],
    ) -> None:
        """Keep the form that an endpoint took, and tell once what is new about it."""
        spent.retries += len(changes)
        known = endpoint.forms.get(spec.model, Form())
        if doubtful:
            endpoint.doubts[spec.model] = endpoint.doubts.get(spec.model, 0) + 1
            if endpoint.doubts[spec.model] < _DOUBTS:
                form = replace(form, schema=known.schema, stream=known.stream)
        if not changes or form == first_form(spec, known):
            return
        endpoint.forms[spec.model] = forms.learnt_form(spec, form)
        told = "; ".join(text for text, _ in changes)
        said = next((fault.message for _, fault in changes if fault is not None), f"{place_of(spec)} answered nothing")
        told = f"{sentence(said)} From now on for '{spec.model}': {told}"
        on_retry(Retry(spent.retries, "form", told, "", 0, 0, 0.0, 0.0))

    async def _once(
        self,
        spec: ModelSpec,
        endpoint: _Endpoint,
        messages: Sequence[Message],
        body: dict[str, Any],
        spent: Spent,
        on_text: OnText,
        cap: int,
    ) -> Reply:
        """Send one request and read its answer to the end."""
        check_key(spec)
        shown = endpoint.shown.setdefault(spec.model, Shown())
        patience = Patience(spec, shown, endpoint.pulse, shown.tokens(characters(messages)), at_once=not body["stream"])
        got, frames = Received(on_text, AnswerMeter(cap)), Frames()
        sent = False
        too_long: str | None = None
        try:
            async with asyncio.timeout(None) as clock:
                patience.start(clock)
                try:
                    response = await self._connections.post(spec, forms.path_of(body), body)
                    sent = True
                    tap(response, patience.alive)
                    try:
                        lost = moved(response, spec)
                        if lost is not None:
                            raise lost
                        async for value in _values(response, frames):
                            got.take(value)
                            # No mark follows the last event of a response.
                            frames.done = frames.done or got.over
                            if got.begun:
                                patience.begun()
                            elif got.output.thinks:
                                patience.thinks()
                            if got.problem is not None:
                                break
                            if got.size > _LONGEST_ANSWER or got.meter.stop:
                                too_long = got.meter.stop
                                break
                    finally:
                        await response.aclose()
                except Exception as error:
                    # An error that is not the endpoint's is raised unchanged.
                    fault = fault_of(error, spec)
                    fault.unanswered &= not sent
                    raise fault from None
        except TimeoutError:
            sent = True
            if patience.ended_by != "total_seconds" or not got.begun:
                raise patience.fault() from None
            # The part received so far counts as an answer that is too long.
            too_long = patience.ended_by
        except asyncio.CancelledError:
            sent = True
            raise
        finally:
            patience.close()
            # An error or a page in place of an answer costs nothing.
            nothing = got.problem is not None or frames.kind in ("html", "text", "empty")
            nothing = nothing or (frames.done and not got.chat)
            if got.begun or got.usage.told or (sent and not nothing):
                count(spent, spec, messages, got)
                learn(shown, messages, got, patience)
        try:
            return reply_of(got, frames, spec, too_long)
        except Fault as fault:
            if got.begun and fault.said != NO_TEXT:
                # It took the request: another form of it would only cost more.
                fault.said = ""
            raise

    def reading(self, spec: ModelSpec) -> float | None:
        """Return how many tokens of a prompt the endpoint reads in a second; None before it has shown it."""
        return self.shown(spec).reading or None

    def recall(self, spec: ModelSpec, shown: Shown) -> None:
        """Take what an endpoint has shown to an earlier engine, unless it has shown something to this one."""
        self._endpoint(spec).shown.setdefault(spec.model, shown)

    def shown(self, spec: ModelSpec) -> Shown:
        """Return what an endpoint has shown of a model."""
        return self._endpoint(spec).shown.get(spec.model, Shown())

    def form_of(self, spec: ModelSpec) -> Form:
        """Return the form in which a model is asked now."""
        return first_form(spec, self._endpoint(spec).forms.get(spec.model))

    def expect(self, spec: ModelSpec, messages: Sequence[Message]) -> tuple[int, float]:
        """Return about how many tokens a prompt has, and for how many seconds its answer is waited for in silence."""
        shown = self.shown(spec)
        tokens = shown.tokens(characters(messages))
        return tokens, shown.first_seconds(spec, tokens)

    def _endpoint(self, spec: ModelSpec) -> _Endpoint:
        return self._endpoints.setdefault(spec.base_url, _Endpoint(CapacityLimiter(1)))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._library is not None:
            await self._library
        await self._connections.aclose()


async def _values(response: Any, frames: Frames) -> AsyncIterator[Any]:
    """Yield the JSON values in the body of a response as they arrive."""
    pieces = response.aiter_bytes()
    async for piece in pieces:
        for value in frames.feed(piece):
            yield value
        if frames.done:
            break
    if frames.done:
        # An endpoint may keep the connection open.
        with suppress(Exception):
            async with asyncio.timeout(_REST_SECONDS):
                async for _ in pieces:
                    pass
    for value in frames.finish():
        yield value


def _telling(fault: Fault, changes: Sequence[tuple[str, Fault | None]]) -> Fault:
    """Return the fault that tells more: that of the configured API if the other one takes nothing, either."""
    first = changes[0][1] if changes else None
    return first if first is not None and fault.no_place and first.kind == "model" else fault


def _without_schema(form: Form) -> tuple[Form, str]:
    return replace(form, schema=False), 'it answers no text to a schema (structured = "off" says so)'


def _says_nothing(reply: Reply) -> bool:
    return not (reply.text.strip() or reply.refused or reply.truncated)
