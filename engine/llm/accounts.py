"""What one try of a request has cost, and what it has shown of the endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from engine.llm.messages import Message
from engine.llm.patience import Patience, Shown, estimate_tokens
from engine.llm.received import Received
from engine.llm.tries import Spent
from engine.llm.usage import cost_of
from engine.settings.models import ModelSpec

__all__ = ["characters", "count", "learn"]


def characters(messages: Sequence[Message]) -> int:
    """Return the size of a prompt."""
    return sum(len(message.content) for message in messages)


def learn(shown: Shown, messages: Sequence[Message], got: Received, patience: Patience) -> None:
    """Note how fast the endpoint read the prompt, and how many tokens that had; thoughts in silence would blur it."""
    silent = got.output.thinks and not got.reasoning
    if patience.first_seconds is not None and not silent:
        usage = got.usage
        shown.learn(characters(messages), usage.tokens_in or 0, usage.cached, patience.first_seconds)


def count(spent: Spent, spec: ModelSpec, messages: Sequence[Message], got: Received) -> None:
    """Add the cost of one try: the server's figures, else our estimate."""
    usage = got.usage
    spent.estimated = spent.estimated or not usage.told
    tokens_in = estimate_tokens(characters(messages)) if usage.tokens_in is None else usage.tokens_in
    tokens_out = got.meter.tokens if usage.tokens_out is None else usage.tokens_out
    cost = cost_of(spec, tokens_in, tokens_out, usage.cached) if usage.usd is None else usage.usd
    spent.tokens_in += tokens_in
    spent.tokens_out += tokens_out
    spent.tokens_cached += usage.cached
    spent.tokens_thought += usage.thought
    spent.usd += max(0.0, cost)
