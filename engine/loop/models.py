"""Call models on behalf of rounds: each call is recorded, never made twice, within the budgets, and fails over."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from engine.errors import RunError, Stopping
from engine.journal.database import sha256_of
from engine.journal.events import REQUEST_KINDS, CallDone, CallRetried, CallStarted
from engine.llm.client import Client, Reply, Retry, Spent, estimate_tokens
from engine.llm.faults import Fault, redact
from engine.llm.messages import Answer, Ask, CallFailed, Message, PromptSize, Role, WritePrompt
from engine.llm.patience import Shown
from engine.llm.prompt_size import prompt_size, room_after
from engine.llm.prompts import most_tokens
from engine.llm.record import Place, clean, written
from engine.llm.responses import items_to_keep
from engine.llm.stream import LiveText
from engine.loop.caps import answer_cap
from engine.loop.command_record import cost_told
from engine.loop.conversation import Conversation, conversation_before
from engine.loop.failover import Failover
from engine.loop.flights import Flights, flight_of
from engine.loop.gate import PauseGate
from engine.loop.recorded_run import RecordedRun
from engine.loop.session import RunSession
from engine.settings.model import analyzes_by_model, designs_by_model
from engine.settings.models import ModelSpec

__all__ = ["ModelGateway"]

_fields = functools.cache(msgspec.structs.fields)
"""Fields of a class; it evaluates the annotations of all of them."""
_NO_ANSWER = "the engine ended before the answer came"
_HEAD_START = 0.2
"""Seconds in which a request reaches its endpoint, connecting included."""


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
        self.flights = Flights(session, gate, stop)
        self._requests: set[asyncio.Task[Reply]] = set()
        self._recorded = RecordedRun(session)
        self._rooms: dict[tuple[str, str], int] = {}
        """Tokens of a prompt for which an endpoint has room, by address and model, where it has refused one."""

    def for_round(self, round_: int, node: int | None = None) -> Ask:
        """Return the function that asks models on behalf of a round, or of one node of it."""

        async def ask(
            role: Role,
            write: WritePrompt,
            *,
            key: str,
            models: Mapping[str, float] | None = None,
            schema: dict[str, Any] | None = None,
        ) -> Answer:
            return await self._ask((round_, node, key), role, write, models, schema)

        return ask

    def committed(self) -> tuple[float, float]:
        """Estimate the US dollars and tokens that the calls in flight are going to cost, from earlier calls."""
        return self.flights.committed()

    def prepare(self) -> None:
        """Load the client while the run begins, if models are to be asked."""
        settings = self._session.state.settings
        if settings.models and not settings.answers and (designs_by_model(settings) or analyzes_by_model(settings)):
            self._client.prepare()

    async def give_way(self, answered: asyncio.Event) -> None:
        """Wait until requests that were begun before have reached their endpoints, which may answer one by one.

        Args:
            answered: set once they are answered, which ends the wait.

        Raises:
            Stopping: the engine is ending.
        """
        if not self._session.state.settings.answers:
            await self._client.prepare()
            await self._gate.sleep(_HEAD_START, answered)

    def close_lost(self) -> None:
        """Close the record of calls that an earlier engine left open; what their prompts cost is estimated."""
        state = self._session.state
        for event in list(state.calls.values()):
            started = event.data
            assert isinstance(started, CallStarted)
            # Those of the run that this one is a copy of are that run's.
            ours = state.forked is None or event.seq > state.forked.at_seq
            spec = state.settings.models.get(started.model, ModelSpec())
            if started.command:
                # What a command costs is known as far as it had said so.
                cost = cost_told(state.told.get(started.call) if ours else None)
            else:
                tokens = estimate_tokens(len(self._session.text(started.prompt_blob))) if ours else 0
                usd = tokens * (spec.price_in or 0.0) / 1e6
                cost = {"tokens_in": tokens, "usd": usd, "estimated": True, "priced": spec.priced}
            self._session.emit(
                CallDone(
                    call=started.call,
                    role=started.role,
                    model=started.model,
                    **cost,
                    error=_NO_ANSWER,
                    fault="stopped",
                    key=started.key,
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
        self._recorded.close()

    # One call

    async def _ask(
        self,
        place: Place,
        role: Role,
        write: WritePrompt,
        models: Mapping[str, float] | None,
        schema: dict[str, Any] | None,
    ) -> Answer:
        session = self._session
        known = session.state.answered.get(place)
        if known is not None:
            return self._known_answer(known)
        if session.state.settings.answers:
            return await self._replay(place, role, write, self._candidates(place, role, models)[0], schema)
        while True:
            name, probe = await self.failover.next(place, self._candidates(place, role, models))
            try:
                # Written for the model that is asked: another one may have less room.
                spec = session.state.settings.models[name]
                self._recall(name, spec)
                room = self._rooms.get((spec.base_url, spec.model))
                size = prompt_size(session.state, name, self._client.reading(spec), room)
                before = conversation_before(session, place, name, size)
                messages, prompt = written(write, size, schema, before.messages if before else ())
                if probe:
                    # It is asked again and again anyway.
                    spec = msgspec.structs.replace(spec, retries=0)
                answer = await self._call(place, role, name, spec, messages, prompt, schema, size, before)
            except Fault as fault:
                lasting = fault.kind in ("bad_request", "answer")
                if fault.kind not in REQUEST_KINDS or (lasting and self.failover.refused(name)):
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

    def _recall(self, name: str, spec: ModelSpec) -> None:
        """Tell the client what an endpoint has shown to an earlier engine, if the model is still asked there."""
        record = self._session.state.models.get(name)
        if record is not None and record.characters and record.endpoint == (spec.base_url, spec.model):
            self._client.recall(spec, Shown(record.reading, record.characters))

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
        usual = {name: weight for name, weight in roles.researcher.items() if name in known and weight > 0}
        usual = usual or dict.fromkeys(known, 1.0)
        wanted = {name: weight for name, weight in (models or {}).items() if name in known and weight > 0}
        weights = wanted or usual
        round_, node, key = place
        rng = self._session.rng(round_ or 0, f"model {node} {key}")
        chosen = rng.choices(list(weights), list(weights.values()))[0]
        return list(dict.fromkeys([chosen, *(roles.fallback or usual)]))

    async def _call(
        self,
        place: Place,
        role: Role,
        name: str,
        spec: ModelSpec,
        messages: Sequence[Message],
        prompt: bytes,
        schema: dict[str, Any] | None,
        size: PromptSize,
        before: Conversation | None,
    ) -> Answer:
        """Call one model once, and record the call however it ends.

        Raises:
            Fault: no answer came.
            Stopping: the engine is ending.
        """
        session = self._session
        round_, node, key = place
        spent = Spent()
        flight = flight_of(role, spec, len(prompt), spent)
        await self.flights.admit(flight)
        call = session.state.last_call + 1
        self.flights.begin(call, flight)
        parameters = {
            field.name: value for field in _fields(type(spec)) if (value := getattr(spec, field.name)) != field.default
        }
        tokens, patience = self._client.expect(spec, messages)
        cap = answer_cap(session, role, place, spec)
        started = CallStarted(
            call, role, name, sha256_of(prompt), parameters, key, tokens, patience, cap, size.brief, size.aim,
            before.call if before else 0, size.room,
        )  # fmt: skip
        session.emit(started, round=round_, node=node, blobs=[prompt])
        head = {"call": call, "role": role, "round": round_, "model": name}
        text = LiveText(lambda row: session.live("stream", round_, row), head, spec)
        begun = time.monotonic()
        reply: Reply | None = None
        fault: Fault | None = None

        def retried(retry: Retry) -> None:
            reason = _named(retry.reason, name, retry.setting)
            session.emit(
                CallRetried(
                    call, retry.number, role, name, retry.fault, clean(redact(reason, spec)), retry.setting,
                    retry.tokens_in, retry.tokens_out, retry.usd, retry.seconds,
                ),
                round=round_,
                node=node,
            )  # fmt: skip

        shared = [other for other in session.state.settings.models.values() if other.base_url == spec.base_url]
        request = asyncio.create_task(
            self._client.ask(
                spec,
                messages,
                spent,
                text,
                schema,
                min(other.concurrency for other in shared),
                cap,
                retried,
                text.wait,
                before.items if before else (),
            )
        )
        self._requests.add(request)
        try:
            reply = await request
        except Fault as exc:
            fault = exc
            fault.message = _named(fault.message, name, fault.setting)
        except Stopping:
            fault = Fault("stopped", _NO_ANSWER)
        except asyncio.CancelledError:
            request.cancel()
            if not self._gate.cancelling:
                raise
            fault = Fault("stopped", _NO_ANSWER)
        finally:
            self._requests.discard(request)
            text.close()
            self.flights.end(call)
        if fault is not None and fault.kind == "context":
            # Told with the call, so that a resume and a replay say the same of it to the model.
            refused = most_tokens(messages)
            room = self._rooms[spec.base_url, spec.model] = room_after(fault.context, refused, spec)
            how = f"prompts are made to fit {room:,} tokens from now on, since"
            if room >= refused:
                how = (
                    f"no prompt shorter than {refused:,} tokens is written, so this endpoint needs more context, since"
                )
            fault.message = f"{how} {fault.message}"
        shown = self._client.shown(spec)
        answer, reasoning = (redact(part, spec) for part in ((reply.text, reply.reasoning) if reply else ("", "")))
        whole = reply is not None and bool(answer) and not (reply.truncated or reply.refused)
        kept = redact(items_to_keep(reply.items), spec) if reply is not None and whole else ""
        blobs = [part.encode() for part in (answer, reasoning, kept) if part]
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
            error=clean(redact(fault.message, spec)) if fault else "",
            fault=fault.kind if fault else "",
            key=key,
            refused=reply.refused if reply else False,
            truncated=reply.truncated if reply else False,
            ended_by=reply.ended_by if reply else fault.setting if fault else "",
            priced=spec.priced or spent.usd > 0,
            brief=size.brief,
            reading=round(shown.reading, 1),
            characters=round(shown.characters, 2) if shown.learnt else 0.0,
            items_blob=sha256_of(kept) if kept else "",
            prompt_blob=sha256_of(prompt) if kept else "",
            tokens_thought=spent.tokens_thought,
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
            ended_by=done.ended_by,
            brief=done.brief,
        )

    async def _replay(
        self, place: Place, role: Role, write: WritePrompt, name: str, schema: dict[str, Any] | None
    ) -> Answer:
        """Return the answer that another run recorded for this prompt, which is written as it was there.

        Raises:
            RunError: there is none.
        """
        session, recorded = self._session, self._recorded.calls
        asked = recorded.asked(role, place)
        if asked is not None and asked.model in session.state.settings.models:
            name = asked.model
        size = prompt_size(session.state, name)
        if asked is not None:
            size = replace(size, room=asked.room or size.room, aim=asked.aim, brief=asked.brief)
        before = conversation_before(session, place, name, size) if asked is not None and asked.continues else None
        _, prompt = written(write, size, schema, before.messages if before else ())
        found = recorded.find(role, sha256_of(prompt), place)
        if found is None:
            raise RunError(
                f"{self._recorded.folder} holds no answer to the prompt of the {role} in round {place[0]} ({place[2]})",
                "Answers fit a run of the same task with the same settings, seed and one worker",
            )
        blobs = (found.answer_blob, found.reasoning_blob, found.items_blob)
        done = await self._recorded.give(
            found, place, prompt, blobs, brief=size.brief, aim=size.aim, continues=before.call if before else 0,
            room=size.room,
        )  # fmt: skip
        return self._known_answer(done)


def _named(message: str, name: str, setting: str) -> str:
    """Return what happened, with the setting that made it happen."""
    return f"{message} (models.{name}.{setting})" if setting else message
