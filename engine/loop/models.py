"""Call models on behalf of rounds: each call is recorded, never made twice, within the budgets, and fails over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import RunError, Stopping
from engine.journal.database import sha256_of
from engine.journal.events import REQUEST_KINDS, CallDone, CallStarted
from engine.llm.client import Client, Reply, Spent, estimate_tokens
from engine.llm.faults import Fault, redact
from engine.llm.messages import Answer, Ask, CallFailed, Message, Role
from engine.llm.record import Place, Recorded
from engine.llm.stream import LiveText
from engine.loop.failover import Failover
from engine.loop.gate import PauseGate
from engine.loop.session import RunSession
from engine.settings.model import analyzes_by_model, designs_by_model
from engine.settings.models import ModelSpec

__all__ = ["ModelGateway"]

_NO_ANSWER = "the engine ended before the answer came"


@dataclass
class _Flight:
    """A call that runs, and the most that each try of it may cost."""

    role: str
    usd: float
    tokens: int
    spent: Spent
    """What its tries have cost so far."""


class ModelGateway:
    """Make the calls of a run.

    Args:
        session: the run, in which every call is recorded.
        gate: tells when the engine is ending.
        client: sends the requests; closed with this.
        failover: names the model to ask while others do not answer.
        stop: called with a reason when the budgets have no room for a call, and never will.
    """

    def __init__(
        self, session: RunSession, gate: PauseGate, client: Client, failover: Failover, stop: Callable[[str], None]
    ) -> None:
        self._session, self._gate, self._client = session, gate, client
        self.failover = failover
        self._stop = stop
        self._flights: dict[int, _Flight] = {}
        self._landed = asyncio.Event()
        self._requests: set[asyncio.Task[Reply]] = set()
        self._recorded: Recorded | None = None

    def for_round(self, round_: int, node: int | None = None) -> Ask:
        """Return the function that asks models on behalf of a round, or of one node of it."""

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
        """Estimate the US dollars and tokens that the calls in flight are going to cost, from earlier calls."""
        expected = [self._expected(flight) for flight in self._flights.values()]
        return sum(usd for usd, _ in expected), sum(tokens for _, tokens in expected)

    def prepare(self) -> None:
        """Load the client while the run begins, if models are to be asked."""
        settings = self._session.state.settings
        if settings.models and not settings.answers and (designs_by_model(settings) or analyzes_by_model(settings)):
            self._client.prepare()

    def close_lost(self) -> None:
        """Close the record of calls that an earlier engine left open; what their prompts cost is estimated."""
        state = self._session.state
        for event in list(state.calls.values()):
            started = event.data
            assert isinstance(started, CallStarted)
            # Those of the run that this one is a copy of are that run's.
            ours = state.forked is None or event.seq > state.forked.at_seq
            spec = state.settings.models.get(started.model, ModelSpec())
            tokens = estimate_tokens(len(self._session.text(started.prompt_blob))) if ours else 0
            self._session.emit(
                CallDone(
                    call=started.call,
                    role=started.role,
                    model=started.model,
                    tokens_in=tokens,
                    usd=tokens * (spec.price_in or 0.0) / 1e6,
                    estimated=True,
                    error=_NO_ANSWER,
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
        session = self._session
        known = session.state.answered.get(place)
        if known is not None:
            return self._known_answer(known)
        messages = [Message(message.role, _clean(message.content)) for message in messages]
        prompt = msgspec.json.encode({"messages": messages, "schema": schema})
        if session.state.settings.answers:
            return await self._replay(place, role, prompt)
        while True:
            name, probe = await self.failover.next(place, self._candidates(place, role, models))
            try:
                spec = session.state.settings.models[name]
                if probe:
                    # It is asked again and again anyway.
                    spec = msgspec.structs.replace(spec, retries=0)
                answer = await self._call(place, role, name, spec, messages, prompt, schema)
            except Fault as fault:
                if fault.kind not in REQUEST_KINDS or (fault.kind == "bad_request" and self.failover.refused(name)):
                    self.failover.add(name, fault)
                    continue
                self.failover.clear(name, answered=False)
                raise CallFailed(fault.kind, fault.message) from None
            except BaseException:
                if probe:
                    self.failover.release(name)
                raise
            self.failover.clear(name)
            return answer

    def _candidates(self, place: Place, role: Role, models: Mapping[str, float] | None) -> list[str]:
        """Return the names of the models to ask, in the order in which they are tried."""
        settings = self._session.state.settings
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
        rng = self._session.rng(round_ or 0, f"model {node} {key}")
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
        """Call one model once, and record the call however it ends.

        Raises:
            Fault: no answer came.
            Stopping: the engine is ending.
        """
        session = self._session
        round_, node, key = place
        spent = Spent()
        flight = _Flight(role, *_most(spec, len(prompt)), spent)
        await self._admit(flight)
        call = session.state.last_call + 1
        self._flights[call] = flight
        parameters = {
            field.name: value
            for field in msgspec.structs.fields(spec)
            if (value := getattr(spec, field.name)) != field.default
        }
        session.emit(
            CallStarted(call, role, name, sha256_of(prompt), parameters, key), round=round_, node=node, blobs=[prompt]
        )
        head = {"call": call, "role": role, "round": round_, "model": name}
        text = LiveText(lambda row: session.live("stream", round_, row), head, spec)
        begun = time.monotonic()
        reply: Reply | None = None
        fault: Fault | None = None
        shared = [other for other in session.state.settings.models.values() if other.base_url == spec.base_url]
        request = asyncio.create_task(
            self._client.ask(spec, messages, spent, text, schema, min(other.concurrency for other in shared))
        )
        self._requests.add(request)
        try:
            reply = await request
        except Fault as exc:
            fault = exc
        except Stopping:
            fault = Fault("stopped", _NO_ANSWER)
        except asyncio.CancelledError:
            request.cancel()
            if not self._gate.cancelling:
                raise
            fault = Fault("stopped", _NO_ANSWER)
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
        session.emit(done, round=round_, node=node, blobs=blobs)
        if fault is not None:
            if fault.kind == "stopped":
                raise Stopping
            raise fault
        # Nothing may come of an answer that a crash could still lose.
        await session.durable()
        return self._known_answer(done)

    def _known_answer(self, done: CallDone) -> Answer:
        """Return the recorded answer.

        Raises:
            CallFailed: the request was refused.
        """
        if done.error:
            raise CallFailed(done.fault, done.error)
        return Answer(
            text=self._session.text(done.answer_blob),
            reasoning=self._session.text(done.reasoning_blob),
            model=done.model,
            tokens_in=done.tokens_in,
            tokens_out=done.tokens_out,
            usd=done.usd,
            refused=done.refused,
            truncated=done.truncated,
        )

    async def _replay(self, place: Place, role: Role, prompt: bytes) -> Answer:
        """Return the answer that another run recorded for this prompt.

        Raises:
            RunError: there is none.
        """
        session = self._session
        folder = Path(session.state.settings.answers)
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
        call = session.state.last_call + 1
        done = msgspec.structs.replace(
            found, call=call, tokens_in=0, tokens_out=0, tokens_cached=0, usd=0.0, seconds=0.0, retries=0, key=key,
            replayed=True,
        )  # fmt: skip
        started = CallStarted(call, role, found.model, sha256_of(prompt), {}, key)
        blobs = [prompt, *(text.encode() for text in texts if text)]
        session.emit(started, done, round=round_, node=node, blobs=blobs)
        await session.durable()
        return self._known_answer(done)

    # Budgets

    def _expected(self, flight: _Flight) -> tuple[float, float]:
        """Estimate the US dollars and tokens of a call.

        Its failed tries count with what they cost; the try under way with the mean of its role, or with the most that
        it can cost if it is the first of its role.
        """
        usd, tokens = flight.spent.usd, flight.spent.tokens_in + flight.spent.tokens_out
        role = self._session.state.spent.get(flight.role)
        if role is None or not role.calls:
            return usd + flight.usd, tokens + flight.tokens
        return usd + role.usd / role.calls, tokens + role.tokens / role.calls

    async def _admit(self, flight: _Flight) -> None:
        """Wait until the budgets have room for a call; stop the run if they never will.

        Raises:
            Stopping: the engine is ending.
        """
        session = self._session
        while True:
            await self._gate.sleep(0)
            state, settings = session.state, session.state.settings
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
                self._stop(over)
                raise Stopping
            # What is in flight may cost less than is feared.
            await self._gate.sleep(3600.0, self._landed)


def _most(spec: ModelSpec, characters: int) -> tuple[float, int]:
    """Return the US dollars and tokens that a call can cost at most."""
    tokens_in, tokens_out = estimate_tokens(characters), spec.answer_tokens
    usd = (tokens_in * (spec.price_in or 0.0) + tokens_out * (spec.price_out or 0.0)) / 1e6
    return usd, tokens_in + tokens_out


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()
