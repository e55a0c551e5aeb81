"""Read the figures of an endpoint on tokens and cost; what it does not tell, or tells wrongly, is estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.settings.models import ModelSpec

__all__ = ["Usage", "cost_of", "usage_in"]

_IN = ("prompt_tokens", "input_tokens")
_OUT = ("completion_tokens", "output_tokens")
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
_THOUGHT = ("reasoning_tokens", "thinking_tokens")
_OUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")


@dataclass(frozen=True)
class Usage:
    """The figures of one answer, as far as the endpoint tells plausible ones."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    """Thoughts included."""
    cached: int = 0
    """Never above `tokens_in`."""
    thought: int = 0
    """How many of `tokens_out` were thoughts; 0 if the endpoint does not tell."""
    usd: float | None = None

    @property
    def told(self) -> bool:
        """Return whether the endpoint counts tokens."""
        return self.tokens_in is not None and self.tokens_out is not None


def usage_in(chunk: Mapping[str, Any]) -> Usage | None:
    """Return the figures in a piece of an answer; None if it has none, or only zeros.

    Figures in several pieces are sums so far: the last one counts.
    """
    found = chunk.get("usage")
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for holder in (chunk.get("x_groq"), first):
        if not isinstance(found, Mapping) and isinstance(holder, Mapping):
            found = holder.get("usage")
    if not isinstance(found, Mapping):
        return None
    tokens_in, tokens_out = _first(found, _IN), _first(found, _OUT)
    total = _number(found.get("total_tokens"))
    if tokens_in and tokens_out and total is not None and total > tokens_in + tokens_out:
        # Thoughts that the answer's tokens leave out, and the bill does not.
        tokens_out = total - tokens_in
    cached = _first(found, _CACHED)
    for name in _DETAILS:
        details = found.get(name)
        if isinstance(details, Mapping) and cached is None:
            cached = _first(details, _CACHED)
    thought = 0.0
    for name in _OUT_DETAILS:
        details = found.get(name)
        if isinstance(details, Mapping):
            thought = thought or _first(details, _THOUGHT) or 0.0
    usage = Usage(
        None if not tokens_in else int(tokens_in),
        None if not tokens_out else int(tokens_out),
        int(min(cached or 0, tokens_in or 0)),
        int(min(thought, tokens_out or 0)),
        _number(found.get("cost")),
    )
    return usage if usage.tokens_in or usage.tokens_out or usage.usd else None


def cost_of(spec: ModelSpec, tokens_in: int, tokens_out: int, cached: int) -> float:
    """Return the cost in US dollars by the configured prices."""
    price_in, price_out = spec.price_in or 0.0, spec.price_out or 0.0
    price_cached = price_in if spec.price_cached is None else spec.price_cached
    return ((tokens_in - cached) * price_in + cached * price_cached + tokens_out * price_out) / 1e6


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    return next((number for name in names if (number := _number(found.get(name))) is not None), None)


def _number(value: object) -> float | None:
    """Return a figure of the server if it is plausible, else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None
