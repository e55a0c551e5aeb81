"""Calls of models on behalf of rounds: recorded, never made twice, within the budgets, by whichever model answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.errors import RunError, Stopping
from engine.journal.events import REQUEST_KINDS, CallDone, CallStarted
from engine.journal.reader import sha256_of
from engine.llm.client import Client, Reply, Spent, estimate_tokens
from engine.llm.faults import Fault, redact
from engine.llm.messages import Answer, Ask, CallFailed, Message, Role
from engine.llm.record import Place, Recorded
from engine.llm.stream import LiveText
from engine.loop.failover import Troubles
from engine.settings.model import analyzes_by_model, designs_by_model
from engine.settings.models import ModelSpec

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["Caller"]

_NOTHING_TOLD = "the engine ended before the answer came"


@dataclass
class _Flight:
    """A call that runs, and what each try of it may cost at most."""

    role: str
    usd: float
    tokens: int
    spent: Spent
    """What its tries have cost so far."""


class Caller:
    """Makes the calls of a run.

    Args:
        engine: the engine whose stages ask.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client = Client(engine.gate.sleep)
        self._flights: dict[int, _Flight] = {}
        self._landed = asyncio.Event()
        self._requests: set[asyncio.Task[Reply]] = set()
        self._recorded: Recorded | None = None
        self.troubles = Troubles(engine)

    def for_round(self, round_: int, node: int | None = None) -> Ask:
        """What asks models for a round, or for one node of it."""

        async def ask(
            role: Role,
            messages: Sequence[Message],
            *,
            key: str,
            models: Mapping[str, float] | None = None,
            schema: dict[str, Any] | None = None,
        ) -> Answer:
            return await self._ask((round_, node, key), role, messages, models, schema)

        return ask

    def committed(self) -> tuple[float, float]:
        """US dollars and tokens that the calls in flight are going to cost, as far as earlier ones tell."""
        expected = [self._expected(flight) for flight in self._flights.values()]
        return sum(usd for usd, _ in expected), sum(tokens for _, tokens in expected)

    def prepare(self) -> None:
        """Get ready to ask while the run begins, where models are to be asked."""
        settings = self._engine.state.settings
        if settings.models and not settings.answers and (designs_by_model(settings) or analyzes_by_model(settings)):
            self._client.prepare()

    def close_lost(self) -> None:
        """Close the record of calls that an earlier engine left open; what their prompts cost is estimated."""
        state = self._engine.state
        for event in list(state.calls.values()):
            started = event.data
            assert isinstance(started, CallStarted)
            # Those of the run that this one is a copy of are that run's.
            ours = state.forked is None or event.seq > state.forked.at_seq
            spec = state.settings.models.get(started.model, ModelSpec())
            tokens = estimate_tokens(len(self._engine.text(started.prompt_blob))) if ours else 0
            self._engine.emit(
                CallDone(
                    call=started.call,
                    role=started.role,
                    model=started.model,
                    tokens_in=tokens,
                    usd=tokens * (spec.price_in or 0.0) / 1e6,
                    estimated=True,
                    error=_NOTHING_TOLD,
                    fault="stopped",
                    key=started.key,
                    priced=spec.priced,
                ),
                round=event.round,
                node=event.node,
            )

    def cancel(self) -> None:
        """End all requests: the engine is stopping at once."""
        for task in self._requests:
            task.cancel()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()
        if self._recorded is not None:
            self._recorded.close()

    # One call

    async def _ask(
        self,
        place: Place,
        role: Role,
        messages: Sequence[Message],
        models: Mapping[str, float] | None,
        schema: dict[str, Any] | None,
    ) -> Answer:
        engine = self._engine
        known = engine.state.answered.get(place)
        if known is not None:
            return self._known_answer(known)
        messages = [Message(message.role, _clean(message.content)) for message in messages]
        prompt = msgspec.json.encode({"messages": messages, "schema": schema})
        if engine.state.settings.answers:
            return await self._replay(place, role, prompt)
        while True:
            name, probe = await self.troubles.next(place, self._candidates(place, role, models))
            try:
                spec = engine.state.settings.models[name]
                if probe:
                    # It is asked again and again anyway.
                    spec = msgspec.structs.replace(spec, retries=0)
                answer = await self._call(place, role, name, spec, messages, prompt, schema)
            except Fault as fault:
                if fault.kind not in REQUEST_KINDS or (fault.kind == "bad_request" and self.troubles.refused(name)):
                    self.troubles.add(name, fault)
                    continue
                self.troubles.clear(name, answered=False)
                raise CallFailed(fault.kind, fault.message) from None
            except BaseException:
                if probe:
                    self.troubles.release(name)
                raise
            self.troubles.clear(name)
            return answer

    def _candidates(self, place: Place, role: Role, models: Mapping[str, float] | None) -> list[str]:
        """Names of the models to be asked, in this order, one after the other where they do not answer."""
        settings = self._engine.state.settings
        known, roles = settings.models, settings.roles
        if not known:
            raise RunError("a model is asked, and none is configured", "Use --model NAME, or [models] in config.toml")
        one = {"analyzer": roles.analyzer, "judge": roles.judge, "fixer": roles.fixer}.get(role, "")
        if role in ("analyzer", "judge"):
            one = one if one in known else next(iter(known))
        if one:
            return list(dict.fromkeys([one, *roles.fallback]))
        weights = {
            name: weight for name, weight in (models or roles.researcher).items() if name in known and weight > 0
        }
        weights = weights or dict.fromkeys(known, 1.0)
        round_, node, key = place
        rng = self._engine.rng(round_ or 0, f"model {node} {key}")
        chosen = rng.choices(list(weights), list(weights.values()))[0]
        return list(dict.fromkeys([chosen, *(roles.fallback or weights)]))

    async def _call(
        self,
        place: Place,
        role: Role,
        name: str,
        spec: ModelSpec,
        messages: Sequence[Message],
        prompt: bytes,
        schema: dict[str, Any] | None,
    ) -> Answer:
        """One call of one model, recorded whatever comes of it.

        Raises:
            Fault: no answer came.
            Stopping: the engine is ending.
        """
        engine = self._engine
        round_, node, key = place
        spent = Spent()
        flight = _Flight(role, *_most(spec, len(prompt)), spent)
        await self._admit(flight)
        call = engine.state.last_call + 1
        self._flights[call] = flight
        parameters = {
            field.name: value
            for field in msgspec.structs.fields(spec)
            if (value := getattr(spec, field.name)) != field.default
        }
        engine.emit(
            CallStarted(call, role, name, sha256_of(prompt), parameters, key), round=round_, node=node, blobs=[prompt]
        )
        head = {"call": call, "role": role, "round": round_, "model": name}
        text = LiveText(lambda row: engine.live("stream", round_, row), head, spec)
        begun = time.monotonic()
        reply: Reply | None = None
        fault: Fault | None = None
        shared = [other for other in engine.state.settings.models.values() if other.base_url == spec.base_url]
        request = asyncio.create_task(
            self._client.ask(spec, messages, spent, text, schema, min(other.concurrency for other in shared))
        )
        self._requests.add(request)
        try:
            reply = await request
        except Fault as exc:
            fault = exc
        except Stopping:
            fault = Fault("stopped", _NOTHING_TOLD)
        except asyncio.CancelledError:
            request.cancel()
            if not engine.gate.cancelling:
                raise
            fault = Fault("stopped", _NOTHING_TOLD)
        finally:
            self._requests.discard(request)
            del self._flights[call]
            text.close()
            self._landed.set()
            self._landed = asyncio.Event()
        answer, reasoning = (redact(part, spec) for part in ((reply.text, reply.reasoning) if reply else ("", "")))
        blobs = [part.encode() for part in (answer, reasoning) if part]
        done = CallDone(
            call=call,
            role=role,
            model=name,
            answer_blob=sha256_of(answer) if answer else "",
            reasoning_blob=sha256_of(reasoning) if reasoning else "",
            tokens_in=spent.tokens_in,
            tokens_out=spent.tokens_out,
            tokens_cached=spent.tokens_cached,
            usd=spent.usd,
            estimated=spent.estimated,
            seconds=round(time.monotonic() - begun, 3),
            retries=spent.retries,
            error=_clean(redact(fault.message, spec)) if fault else "",
            fault=fault.kind if fault else "",
            key=key,
            refused=reply.refused if reply else False,
            truncated=reply.truncated if reply else False,
            priced=spec.priced or spent.usd > 0,
        )
        engine.emit(done, round=round_, node=node, blobs=blobs)
        if fault is not None:
            if fault.kind == "stopped":
                raise Stopping
            raise fault
        # Nothing may come of an answer that a crash could still lose.
        await engine.durable()
        return self._known_answer(done)

    def _known_answer(self, done: CallDone) -> Answer:
        """The answer that is recorded.

        Raises:
            CallFailed: the request was refused.
        """
        if done.error:
            raise CallFailed(done.fault, done.error)
        return Answer(
            text=self._engine.text(done.answer_blob),
            reasoning=self._engine.text(done.reasoning_blob),
            model=done.model,
            tokens_in=done.tokens_in,
            tokens_out=done.tokens_out,
            usd=done.usd,
            refused=done.refused,
            truncated=done.truncated,
        )

    async def _replay(self, place: Place, role: Role, prompt: bytes) -> Answer:
        """The answer that another run recorded for this prompt.

        Raises:
            RunError: there is none.
        """
        engine = self._engine
        folder = Path(engine.state.settings.answers)
        if self._recorded is None:
            self._recorded = Recorded(folder / "run.db")
        found = self._recorded.find(role, sha256_of(prompt), place)
        round_, node, key = place
        if found is None:
            raise RunError(
                f"{folder} holds no answer to the prompt of the {role} in round {round_} ({key})",
                "Answers fit a run of the same task with the same settings, seed and one worker",
            )
        texts = [self._recorded.text(name) for name in (found.answer_blob, found.reasoning_blob)]
        call = engine.state.last_call + 1
        done = msgspec.structs.replace(
            found, call=call, tokens_in=0, tokens_out=0, tokens_cached=0, usd=0.0, seconds=0.0, retries=0, key=key,
            replayed=True,
        )  # fmt: skip
        started = CallStarted(call, role, found.model, sha256_of(prompt), {}, key)
        blobs = [prompt, *(text.encode() for text in texts if text)]
        engine.emit(started, done, round=round_, node=node, blobs=blobs)
        await engine.durable()
        return self._known_answer(done)

    # Budgets

    def _expected(self, flight: _Flight) -> tuple[float, float]:
        """US dollars and tokens of a call: what its failed tries have cost, and the mean of its role, or the most that
        a first one can cost, for the try under way."""
        usd, tokens = flight.spent.usd, flight.spent.tokens_in + flight.spent.tokens_out
        role = self._engine.state.spent.get(flight.role)
        if role is None or not role.calls:
            return usd + flight.usd, tokens + flight.tokens
        return usd + role.usd / role.calls, tokens + role.tokens / role.calls

    async def _admit(self, flight: _Flight) -> None:
        """Wait until the budgets have room for a call; where they never will, the run stops.

        Raises:
            Stopping: the engine is ending.
        """
        engine = self._engine
        while True:
            await engine.gate.sleep(0)
            state, settings = engine.state, engine.state.settings
            usd, tokens = (a + b for a, b in zip(self.committed(), self._expected(flight), strict=True))
            over = ""
            if settings.usd is not None and state.usd + usd > settings.usd:
                over = f"the {settings.usd:g} dollars are spent: {state.usd:.4g}, and one more call may cost {usd:.2g}"
            elif settings.tokens is not None and state.tokens + tokens > settings.tokens:
                over = (
                    f"the {settings.tokens} tokens are spent: {state.tokens}, and one more call may take {tokens:.0f}"
                )
            if not over:
                return
            if not self._flights:
                engine.stop(over, now=False)
                raise Stopping
            # What is in flight may cost less than is feared.
            await engine.gate.sleep(3600.0, self._landed)


def _most(spec: ModelSpec, characters: int) -> tuple[float, int]:
    """US dollars and tokens that a call can cost at most."""
    tokens_in, tokens_out = estimate_tokens(characters), spec.answer_tokens
    usd = (tokens_in * (spec.price_in or 0.0) + tokens_out * (spec.price_out or 0.0)) / 1e6
    return usd, tokens_in + tokens_out


def _clean(text: str) -> str:
    """Text that can be written down."""
    return text.encode("utf-8", "replace").decode()
