"""Hold calls of models within the budgets: what is in flight counts as spent before another one may begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import Stopping
from engine.llm.client import Spent, estimate_tokens
from engine.loop.gate import PauseGate
from engine.loop.session import RunSession
from engine.settings.models import ModelSpec

__all__ = ["Flight", "Flights", "flight_of"]


@dataclass
class Flight:
    """A call that runs, and the most that each try of it may cost."""

    role: str
    usd: float
    tokens: int
    spent: Spent
    """What its tries have cost so far."""


def flight_of(role: str, spec: ModelSpec, characters: int, spent: Spent) -> Flight:
    """Return a call to a model with a prompt of so many characters."""
    tokens_in, tokens_out = estimate_tokens(characters), spec.answer_tokens
    usd = (tokens_in * (spec.price_in or 0.0) + tokens_out * (spec.price_out or 0.0)) / 1e6
    return Flight(role, usd, tokens_in + tokens_out, spent)


class Flights:
    """The calls in flight of a run.

    Args:
        session: the run, with its budgets and what it has spent.
        gate: tells when the engine is ending.
        stop: called with a reason when the budgets have no room for a call, and never will.
    """

    def __init__(self, session: RunSession, gate: PauseGate, stop: Callable[[str], None]) -> None:
        self._session, self._gate, self._stop = session, gate, stop
        self._flights: dict[int, Flight] = {}
        self._landed = asyncio.Event()

    def begin(self, call: int, flight: Flight) -> None:
        """Count a call as in flight."""
        self._flights[call] = flight

    def end(self, call: int) -> None:
        """Count a call as over; what it cost is in the journal next."""
        del self._flights[call]
        self._landed.set()
        self._landed = asyncio.Event()

    def committed(self) -> tuple[float, float]:
        """Estimate the US dollars and tokens that the calls in flight are going to cost, from earlier calls."""
        expected = [self._expected(flight) for flight in self._flights.values()]
        return sum(usd for usd, _ in expected), sum(tokens for _, tokens in expected)

    async def admit(self, flight: Flight) -> None:
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

    def _expected(self, flight: Flight) -> tuple[float, float]:
        """Estimate the US dollars and tokens of a call.

        Its failed tries count with what they cost; the try under way with the mean of its role, or with the most that
        it can cost if it is the first of its role.
        """
        usd, tokens = flight.spent.usd, flight.spent.tokens_in + flight.spent.tokens_out
        role = self._session.state.spent.get(flight.role)
        if role is None or not role.calls:
            return usd + flight.usd, tokens + flight.tokens
        return usd + role.usd / role.calls, tokens + role.tokens / role.calls
