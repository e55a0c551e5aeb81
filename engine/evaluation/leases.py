"""Leases of what all runs of a user share on this machine: GPUs, and the processors of exclusive evaluations.

A lease is a flock on a file in the user's runtime folder: it ends with its process, however that ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from engine.errors import EvolveError

__all__ = ["hold", "lease_machine"]

_POLL_SECONDS = 0.2


def hold(kind: str, name: str) -> int | None:
    """Return a descriptor that holds the lease, or None if another process holds it.

    Args:
        kind: the folder of the leases.
        name: what is leased.

    Raises:
        EvolveError: its file cannot be written.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or str(Path(tempfile.gettempdir(), f"evolve-{os.getuid()}"))
    file = Path(base, kind, name)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise EvolveError(f"{exc.filename or file} cannot be written: {exc.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@asynccontextmanager
async def lease_machine(wanted: Callable[[], bool]) -> AsyncIterator[bool]:
    """Wait until no other exclusive evaluation of this user runs, and hold that place; yield whether it is held.

    Args:
        wanted: called while waiting; if it returns False, the wait ends without the place.
    """
    while wanted():
        descriptor = hold("evolve-machine", "exclusive")
        if descriptor is not None:
            try:
                yield True
            finally:
                os.close(descriptor)
            return
        await asyncio.sleep(_POLL_SECONDS)
    yield False
