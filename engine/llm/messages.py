"""What is said to a model and what comes back, as the stages see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Answer", "Ask", "CallFailed", "Message", "Role"]

Role = Literal["researcher", "analyzer", "judge", "fixer"]


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    text: str
    reasoning: str
    """What the model thought before it answered, where the endpoint tells it apart."""
    model: str
    """The configured name of the model that answered."""
    tokens_in: int
    tokens_out: int
    usd: float
    refused: bool
    """The model declined, or a filter of the endpoint kept its answer back."""
    truncated: bool
    """The answer reached its limit of tokens."""


class CallFailed(Exception):
    """The request was refused as it is, and waiting would not help.

    Args:
        kind: one of `REQUEST_KINDS`; `context`: the prompt is too long.
        message: what the endpoint said.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Ask(Protocol):
    """Asks a model on behalf of one round or node."""

    async def __call__(
        self,
        role: Role,
        messages: Sequence[Message],
        *,
        key: str,
        models: Mapping[str, float] | None = None,
        schema: dict[str, Any] | None = None,
    ) -> Answer:
        """The answer of a model of this role.

        Args:
            role: what the model is to do; it says which models may be asked.
            messages: the prompt.
            key: tells the calls of one round or node apart, such as `design/0`; after a resume the same key gives the
                recorded answer, and no model is asked.
            models: weights by the models' names, in place of those configured for the role.
            schema: the JSON schema of the answer, for endpoints that can hold a model to one; others are asked
                without, and then the answer may have any form.

        Raises:
            CallFailed: the request was refused, and waiting would not help.
            Stopping: the engine is ending; the call is made at the next start.
        """
