"""Limit how many evaluations, or requests to an endpoint, run at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

__all__ = ["CapacityLimiter"]


class CapacityLimiter:
    """Grant slots in the order of requests, up to a limit that may change at any time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Return how many slots may be held at once."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._hand_out()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot at once, even above the limit: for what runs already."""
        self._used += 1
        try:
            yield
        finally:
            self._release()

    async def __aenter__(self) -> None:
        if self._used < self._limit and not self._waiting:
            self._used += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        self._used -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._used < self._limit:
            future = self._waiting.popleft()
            if not future.done():
                self._used += 1
                future.set_result(None)
