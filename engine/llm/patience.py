"""How long a request may take: what the user's limits say, else what the endpoint has shown to need.

A server that reads a long prompt sends nothing until it is through. So without a limit of the user, the wait for the
first piece follows how fast the endpoint reads; bytes that hold no answer yet (keep-alives, progress, the answer to
another of our requests) are signs of life that start the wait anew.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.llm.faults import Fault, place_of
from engine.settings.models import ModelSpec

__all__ = ["Patience", "Pulse", "Shown", "estimate_tokens", "is_local", "tap"]

_LEAST = 120.0
"""Least seconds to wait for the first piece if the user sets no limit."""
_LOCAL_UNKNOWN, _LOCAL_KNOWN = 3600.0, 600.0
"""The same for a server on this machine or network, before and after it has shown how fast it reads."""
_LONGEST_READING = 3600.0
"""Most seconds before the first piece from an endpoint elsewhere, however often it says that it is alive."""
_LONGEST_WRITING = 900.0
"""Most seconds from the first piece to the end of an answer if the user sets no limit."""
_SLOWER = {True: 10.0, False: 4.0}
"""How many times slower than shown an endpoint may be: a local one, any other."""
_MOST_PATIENCE = 8.0
_LEAST_SECONDS, _LEAST_READ = 0.2, 64
"""A wait below these seconds, or a prompt below these tokens, tells nothing about the speed."""
_SLOWLY_FASTER = 1.25
"""Factor by which an endpoint counts as faster from one answer to the next at most."""


def estimate_tokens(characters: int) -> int:
    """Estimate the number of tokens in a text of this many characters."""
    return -(-characters // 4)


@functools.lru_cache(maxsize=64)
def is_local(address: str) -> bool:
    """Return whether an address is on this machine or in its own network, by its name alone."""
    host = (urlsplit(address).hostname or "") if address else ""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and (host.endswith((".local", ".localhost", ".lan", ".internal")) or "." not in host)
    return number.is_loopback or number.is_private or number.is_link_local


@dataclass
class Pulse:
    """The last sign of life of an endpoint, whichever request it came to."""

    at: float = float("-inf")
    """Time of the event loop."""


@dataclass
class Shown:
    """What an endpoint has shown of one model."""

    reading: float = 0.0
    """Tokens of a prompt that it reads in a second, on the slow side; 0 before it has shown it."""
    characters: float = 4.0
    """Characters of a prompt in a token."""
    patience: float = 1.0
    """Factor on the wait for the first piece: doubled each time it was too short."""
    learnt: bool = False
    """Whether any answer has told its size."""

    def learn(self, characters: int, tokens: int, cached: int, seconds: float | None) -> None:
        """Take in one answer: the prompt's size, how much of it was cached, and the seconds to the first piece."""
        self.patience = 1.0
        if tokens >= _LEAST_READ and characters >= tokens:
            self.characters = min(characters / tokens, 12.0)
            self.learnt = True
        read = tokens - cached
        if seconds is None or seconds < _LEAST_SECONDS or read < _LEAST_READ:
            return
        speed = read / seconds
        self.reading = min(speed, self.reading * _SLOWLY_FASTER) if self.reading else speed

    def tokens(self, characters: int) -> int:
        """Estimate the tokens of a prompt of this many characters."""
        return int(-(-characters // self.characters))

    def first_seconds(self, spec: ModelSpec, tokens: int) -> float:
        """Return the longest silence before the first piece of the answer to a prompt of this many tokens."""
        if spec.first_token_seconds is not None:
            return spec.first_token_seconds
        local = is_local(spec.base_url)
        if self.reading:
            needed = max(_LOCAL_KNOWN if local else _LEAST, _SLOWER[local] * tokens / self.reading)
        else:
            needed = max(_LOCAL_UNKNOWN, float(tokens)) if local else _LEAST
        return needed * self.patience


class Patience:
    """The time limits of one request.

    Args:
        spec: the model, with the user's limits.
        shown: what its endpoint has shown.
        pulse: the endpoint's signs of life, which this request adds to.
        tokens: tokens of the prompt.
        at_once: whether the whole answer comes in one piece, so that it is written in silence, too.
    """

    def __init__(self, spec: ModelSpec, shown: Shown, pulse: Pulse, tokens: int, *, at_once: bool = False) -> None:
        self._spec, self._shown, self._pulse = spec, shown, pulse
        self._loop = asyncio.get_running_loop()
        self._local = is_local(spec.base_url)
        self._began = self._alive = self._loop.time()
        self._first_at: float | None = None
        self._clock: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silence = shown.first_seconds(spec, tokens)
        if at_once and spec.first_token_seconds is None:
            self._silence = max(self._silence, _LONGEST_WRITING)
        self.ended_by = ""
        """The setting whose limit ended the request; empty while none has."""
        self.seconds = 0.0
        """That limit."""

    @property
    def first_seconds(self) -> float | None:
        """The seconds to the first piece of the answer; None before it."""
        return None if self._first_at is None else self._first_at - self._began

    def start(self, clock: asyncio.Timeout) -> None:
        """End the body of an entered timeout when a limit is passed."""
        self._clock = clock
        self._check()

    def close(self) -> None:
        """Stop watching: the request is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def alive(self) -> None:
        """Take a sign of life: any byte from the endpoint."""
        self._alive = self._pulse.at = self._loop.time()

    def begun(self) -> None:
        """Take a piece of the answer."""
        if self._first_at is None:
            self._first_at = self._loop.time()
            self._check()

    def thinks(self) -> None:
        """Take word that the model thinks, which may last as long as to write an answer and be as silent."""
        if self._first_at is None and self._spec.first_token_seconds is None and self._silence < _LONGEST_WRITING:
            self._silence = _LONGEST_WRITING
            self._check()

    def fault(self) -> Fault:
        """Return the fault of a request that a limit ended without an answer to use."""
        told = f"{self.seconds:.0f} s" if self.seconds >= 10 else f"{self.seconds:g} s"
        silent = f"fell silent for {told} within an answer"
        what = silent if self.ended_by == "idle_seconds" else f"sent nothing within {told}"
        return Fault("down", f"{place_of(self._spec)} {what}", passing=True, setting=self.ended_by)

    def _check(self) -> None:
        self.close()
        due, setting, seconds = min(self._limits())
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
            return
        self.ended_by, self.seconds = setting, seconds
        if setting == "first_token_seconds" and self._spec.first_token_seconds is None:
            self._shown.patience = min(_MOST_PATIENCE, self._shown.patience * 2)
        assert self._clock is not None
        self._clock.reschedule(self._loop.time())

    def _limits(self) -> list[tuple[float, str, float]]:
        """Return when each limit is passed, its setting, and its seconds."""
        spec, whole = self._spec, self._spec.total_seconds
        found = [] if whole is None else [(self._began + whole, "total_seconds", whole)]
        if self._first_at is not None:
            if whole is None:
                found.append((self._first_at + _LONGEST_WRITING, "total_seconds", _LONGEST_WRITING))
            return [*found, (self._alive + spec.idle_seconds, "idle_seconds", spec.idle_seconds)]
        if whole is None and not self._local:
            found.append((self._began + _LONGEST_READING, "total_seconds", _LONGEST_READING))
        # What the endpoint writes for another request it cannot read for this one.
        alive = self._alive if spec.first_token_seconds is not None else max(self._alive, self._pulse.at)
        return [*found, (alive + self._silence, "first_token_seconds", self._silence)]


def tap(response: Any, life: Any) -> None:
    """Call a function for every piece of bytes of an HTTP response, also of those that hold nothing to read."""
    inner = response.aiter_bytes

    async def aiter_bytes(chunk_size: int | None = None) -> Any:
        async for piece in inner(chunk_size):
            life()
            yield piece

    response.aiter_bytes = aiter_bytes
