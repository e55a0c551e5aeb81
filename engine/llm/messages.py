"""Messages to a model and its answer, as the stages see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Answer", "Ask", "CallFailed", "Message", "PromptSize", "Role", "WritePrompt"]

Role = Literal["researcher", "analyzer", "judge", "fixer"]


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class PromptSize:
    """How long a prompt to one model may be."""

    room: int
    """Most tokens: what its context leaves beside an answer."""
    aim: int | None = None
    """Tokens that sections beyond the necessary ones are left out for; None: as many as there is room for."""
    brief: bool = False
    """Whether it is to be the short form for small models."""
    again: bool = False
    """Whether the model has its last prompt and answer before it, so that only what was wrong with it is to be said."""

    @property
    def goal(self) -> int:
        """Return the tokens up to which nothing is left out."""
        return self.room if self.aim is None else min(self.room, self.aim)


WritePrompt = Callable[[PromptSize], Sequence[Message]]
"""Writes a prompt for the model that is going to be asked."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    text: str
    reasoning: str
    """The model's reasoning, if the endpoint sends it apart from the answer."""
    model: str
    """The configured name of the model that answered."""
    tokens_in: int
    tokens_out: int
    usd: float
    refused: bool
    """Whether the model declined, or a filter of the endpoint withheld the answer."""
    truncated: bool
    """Whether the answer ended at its limit of tokens."""
    ended_by: str = ""
    """What made the engine hang up on it, as in `call.done`; empty if nothing did."""
    brief: bool = False
    """Whether the prompt had the short form, so that parts of a program were asked for."""


class CallFailed(Exception):
    """The request itself was refused, and waiting would not help.

    Args:
        kind: one of `REQUEST_KINDS`; `context` means that the prompt is too long.
        message: the endpoint's message.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Ask(Protocol):
    """Ask a model on behalf of one round or node."""

    async def __call__(
        self,
        role: Role,
        write: WritePrompt,
        *,
        key: str,
        models: Mapping[str, float] | None = None,
        schema: dict[str, Any] | None = None,
    ) -> Answer:
        """Ask a model of this role and return its answer.

        Args:
            role: the model's task; it decides which models may be asked.
            write: writes the prompt for the model that is asked.
            key: names the call within its round or node, such as `design/0`; after a resume the same key returns the
                recorded answer, and no model is asked.
            models: weights by the models' names, instead of those configured for the role.
            schema: the JSON schema of the answer, for endpoints that can enforce one; other endpoints are asked
                without it, and the answer may have any form.

        Raises:
            CallFailed: the request itself was refused, and waiting would not help.
            Stopping: the engine is ending; the call is repeated at the next start.
        """
