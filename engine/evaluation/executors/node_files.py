"""The files that evaluations leave on a machine of a cluster, and how long they stay."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine.evaluation.supervisor.folders import remove_tree

__all__ = ["keep_young", "sweep"]

_KEPT_SECONDS = 7 * 86400
"""How long a machine keeps outcomes, and files of evaluations that no engine asked for again."""
_RECORDED_SECONDS = 120
"""After which an outcome is in the journal of the engine that asked for it, if that engine asks for more."""
_SWEEP_SECONDS = 30.0
_YOUNG_SECONDS = 3600.0

_swept = float("-inf")


async def keep_young(paths: Iterable[Path]) -> None:
    """Touch what a running evaluation uses, again and again, so that no `sweep` removes it; ends by being cancelled."""
    used = list(paths)
    while True:
        for path in used:
            with suppress(OSError):
                os.utime(path)
        await asyncio.sleep(_YOUNG_SECONDS)


def sweep(root: Path, engine: str) -> None:
    """Remove what nobody asks for any more and nobody uses; a process looks twice a minute.

    Args:
        root: the folder that machines work in.
        engine: who asks; what it had been given it has recorded after a while.
    """
    global _swept
    if time.monotonic() - _swept < _SWEEP_SECONDS:
        return
    _swept = time.monotonic()
    now = time.time()
    for path in (root / "done").glob("*/*"):
        _remove_old(path, now - (_RECORDED_SECONDS if path.parent.name == engine else _KEPT_SECONDS))
    for path in (root / "work").glob("*"):
        if not _is_at_work(path):
            _remove_old(path, now - _KEPT_SECONDS)
    for path in (root / "orders").glob("*"):
        if not (root / "work" / path.name).exists():
            _remove_old(path, now - _KEPT_SECONDS)
    for kind in ("home", "blobs"):
        for path in (root / kind).glob("*"):
            _remove_old(path, now - _KEPT_SECONDS)


def _is_at_work(folder: Path) -> bool:
    """Tell whether a supervisor holds the lock of an evaluation's folder."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _remove_old(path: Path, before: float) -> None:
    try:
        if path.lstat().st_mtime < before:
            if path.is_dir() and not path.is_symlink():
                remove_tree(str(path))
            else:
                path.unlink()
    except OSError:
        return  # another process removes it at this moment
