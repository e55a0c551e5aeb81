"""What the tries of a request cost, and why those failed after which another was made."""

from __future__ import annotations

from dataclasses import dataclass

from engine.llm.faults import Fault

__all__ = ["Retry", "Spent", "Wait", "retry_of"]


@dataclass
class Spent:
    """The cost of a request so far, failed tries included."""

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_thought: int = 0
    usd: float = 0.0
    estimated: bool = False
    """Whether any figure is our estimate, not the server's."""
    retries: int = 0
    """Tries after the first."""


@dataclass(frozen=True)
class Retry:
    """A try that gave no answer, before the next one."""

    number: int
    """From 1."""
    fault: str
    """A `FaultKind`, `empty`, or `form` if the endpoint has refused the form of the request."""
    reason: str
    setting: str
    """The setting whose limit ended it; empty if none did."""
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float


@dataclass(frozen=True)
class Wait:
    """The time before a try, in which no request is in flight."""

    seconds: float
    number: int
    """Number of the try, from 1."""
    tries: int
    """How many there are at most."""
    reason: str
    """Why it is not made at once."""


def retry_of(number: int, fault: Fault | None, before: Spent, after: Spent, seconds: float) -> Retry:
    """Return what there is to tell of a failed try.

    Args:
        number: from 1.
        fault: why it failed; None if its answer was empty.
        before: what was spent before it; `after`: with it.
        seconds: how long it took.
    """
    kind, reason, setting = ("empty", "the answer was empty", "")
    if fault is not None:
        kind, reason, setting = fault.kind, fault.message, fault.setting
    return Retry(
        number,
        kind,
        reason,
        setting,
        after.tokens_in - before.tokens_in,
        after.tokens_out - before.tokens_out,
        after.usd - before.usd,
        round(seconds, 3),
    )
