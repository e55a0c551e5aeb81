"""Go on with the conversation of a refused design, so that the model has the thoughts of its answer again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.journal.events import CallDone
from engine.llm.messages import Message, PromptSize
from engine.llm.record import Place
from engine.llm.responses import Items
from engine.loop.session import RunSession

__all__ = ["Conversation", "conversation_before"]

_MORE_TOKENS = 1_000
"""Room for what is said of the refused answer."""


@dataclass(frozen=True)
class Conversation:
    """A prompt and its answer, to be gone on with."""

    call: int
    """The call that gave the answer."""
    messages: Sequence[Message]
    items: Sequence[Items]
    """Of each of the model's answers in it, as the Responses API gave them."""


def conversation_before(session: RunSession, place: Place, model: str, size: PromptSize) -> Conversation | None:
    """Return the conversation that a call goes on with; None if it begins anew.

    A design goes on if the same model was asked for it before in the same form, if that gave back its thoughts by the
    Responses API, and if there is room.

    Args:
        session: the run.
        place: round, node and key of the call.
        model: the name of the model that is to be asked.
        size: how long its prompt may be, and in which form.
    """
    done = _attempt(session, place, -1)
    if done is None or not done.items_blob or (done.model, done.brief) != (model, size.brief):
        return None
    if done.tokens_in + done.tokens_out + _MORE_TOKENS > size.room:
        return None
    prompt = msgspec.json.decode(session.text(done.prompt_blob))
    asked = [Message(message["role"], message["content"]) for message in prompt["messages"]]
    answers = sum(message.role == "assistant" for message in asked) + 1
    earlier = [_attempt(session, place, -number) for number in range(answers, 0, -1)]
    items: list[list[dict[str, Any]]] = [
        msgspec.json.decode(session.text(one.items_blob)) if one is not None and one.items_blob else []
        for one in earlier
    ]
    return Conversation(done.call, [*asked, Message("assistant", session.text(done.answer_blob))], items)


def _attempt(session: RunSession, place: Place, offset: int) -> CallDone | None:
    """Return the answer to an earlier attempt at the same design; None if there is none, or if this is no design."""
    round_, node, key = place
    stage, _, number = key.partition("/")
    if stage != "design" or not number.isdigit():
        return None
    return session.state.answered.get((round_, node, f"{stage}/{int(number) + offset}"))
