"""Watch files: look at them when something changes on the disk, and at no other time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from cognition.watch import Watch

__all__ = ["FileWatch"]

_POLL_SECONDS = 3.0
"""How often files are looked at if their file system reports no changes, or if the last look failed."""


class FileWatch:
    """Call `look` after changes in the files, one call at a time.

    Args:
        paths: returns the folders and files to watch; it is asked again after each look.
        look: looks at them; returns whether a further look is needed without a change, because this one failed.
    """

    def __init__(self, paths: Callable[[], Iterable[Path]], look: Callable[[], Awaitable[bool]]) -> None:
        self._paths = paths
        self._look = look
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look soon."""
        self._woken.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, self._woken.set)
        watch = Watch(self._paths(), wake, _POLL_SECONDS)
        watch.start()
        again = False
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS if again else None):
                        await self._woken.wait()
                self._woken.clear()
                again = await self._look()
                watch.set_paths(self._paths())
        finally:
            await asyncio.to_thread(watch.stop)
