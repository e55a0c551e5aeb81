"""The calls of another system's models, as a journal keeps them."""

from __future__ import annotations

import msgspec

from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.runs.imports.history import ImportedCall

__all__ = ["call_events"]

_KEY = "design/0"
"""Of the first design of a round."""


def call_events(number: int, call: ImportedCall, system: str) -> tuple[list[ev.Data], list[bytes]]:
    """Return what the engine would have written of a call, and its blobs.

    Args:
        number: of the call, from 1.
        call: the call.
        system: the system that made it. It stands in the model's name, so that nothing is concluded from it for a model
            of that name which this run asks.
    """
    messages = [{"role": role, "content": text} for role, text in call.prompt]
    prompt = msgspec.json.encode({"messages": messages, "schema": None}) if messages else b""
    answer, thoughts = call.answer.encode(), call.thoughts.encode()
    model = f"{call.model or 'model'} ({system})"
    started = ev.CallStarted(number, "researcher", model, sha256_of(prompt) if prompt else "", key=_KEY)
    done = ev.CallDone(
        call=number,
        role="researcher",
        model=model,
        answer_blob=sha256_of(answer) if answer else "",
        reasoning_blob=sha256_of(thoughts) if thoughts else "",
        tokens_in=call.tokens_in,
        tokens_out=call.tokens_out,
        usd=call.usd,
        seconds=call.seconds,
        key=_KEY,
        priced=call.usd > 0,
    )
    return [started, done], [prompt, answer, thoughts]
