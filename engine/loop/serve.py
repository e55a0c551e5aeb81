"""Run an engine in this process: take the run's lock, work until the run ends."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings

from engine.errors import RunError
from engine.loop.engine import Engine
from engine.loop.session import Follower
from engine.runs.folder import Run, lock_is_deleted, lock_run
from engine.state.node import RunStatus

__all__ = ["serve", "watch_children_without_threads"]


_LOOK_SECONDS = 1.0
_GC_THRESHOLDS = (20_000, 20, 100)
"""New objects before the garbage collector looks at each generation; a round makes some thousands without cycles."""


def serve(
    run: Run, follow: Follower | None = None, patience_endpoint: float | None = None, attended: bool = True
) -> RunStatus:
    """Run the loop over a run until it ends, and return how it ended.

    Args:
        run: the run's folder.
        follow: called for every event after it is folded.
        patience_endpoint: seconds without a model that answers after which the run stops; for ever by default.
        attended: whether a run that needs a person is paused, and waits; else it stops.

    Raises:
        RunError: another engine has it, it cannot go on as it is, or its folder was deleted meanwhile.
        JournalError: the journal cannot be read or written.
    """
    with lock_run(run) as lock:
        watch_children_without_threads()
        try:
            return asyncio.run(_work(run, lock, follow, patience_endpoint, attended))
        finally:
            if lock_is_deleted(lock):
                # In place of what could not be written there.
                raise RunError(f"the folder of run '{run.name}' was deleted: {run.folder}") from None


async def _work(
    run: Run, lock: int, follow: Follower | None, patience_endpoint: float | None, attended: bool
) -> RunStatus:
    engine = Engine(run, follow, patience_endpoint, attended)
    # The folded past is not garbage: looking through it for cycles would cost more the longer a run gets.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    watching = asyncio.create_task(_stop_if_deleted(engine, lock))
    try:
        return await engine.work()
    finally:
        watching.cancel()


async def _stop_if_deleted(engine: Engine, lock: int) -> None:
    """Stop the engine of a deleted run: a paused one writes nothing and would never notice."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if lock_is_deleted(lock):
            engine.stop("its folder was deleted", now=True)
            return


def watch_children_without_threads() -> None:
    """Keep asyncio from starting a thread for every child, which it does by default before Python 3.12."""
    if sys.version_info < (3, 12) and hasattr(asyncio, "PidfdChildWatcher"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
