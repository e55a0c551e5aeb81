"""Verify a node of a run that has no engine: whoever asks holds its lock, measures, and writes what an engine would."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from engine.errors import EvolveError
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.executors.choose import make_executor
from engine.journal.database import Command, make_plain
from engine.journal.events import EngineGone, VerifyDone, VerifyStarted
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.loop.evaluations import Evaluations
from engine.loop.gate import PauseGate
from engine.loop.serve import watch_children_without_threads
from engine.loop.session import Follower, RunSession
from engine.loop.stages.measure import Measure
from engine.loop.stages.verify import Verify
from engine.loop.task_copy import TaskCopy, lay_out
from engine.runs.effects import EFFECTS
from engine.runs.folder import Run, lock_run
from engine.runs.resting import check_writable
from engine.runs.secret import DataSeeds, open_data_seeds, open_key
from engine.runs.status import summary_of
from engine.state.fold import fold_run
from engine.state.run_state import ENDED, RunState

__all__ = ["verify_resting"]


def verify_resting(run: Run, node: int | None, fresh: int, follow: Follower) -> VerifyDone:
    """Measure a node of a run without an engine on fresh data, and record what that says.

    Args:
        run: the run's folder.
        node: the node; the best by default.
        fresh: how many draws.
        follow: called for every event after it is folded.

    Raises:
        RunError: an engine is at work, or the run's folder cannot be written.
        Refusal: the node cannot be verified.
        JournalError: the journal cannot be read or written.
        EvolveError: its evaluator could not run.
    """
    check_writable(run)
    with lock_run(run, engine=False):
        watch_children_without_threads()
        try:
            return asyncio.run(_verify(run, node, fresh, follow))
        finally:
            make_plain(run.db)


async def _verify(run: Run, node: int | None, fresh: int, follow: Follower) -> VerifyDone:
    reader = JournalReader(run.db)
    try:
        state = fold_run(reader)
        # Kinds that a newer version wrote are skipped when folding, but their places are taken.
        state.seq = reader.last_seq()
        task = TaskCopy(run.task, state.start, state.spec)
        lay_out(run, task, state, reader.blob)
        errors: list[EvolveError] = []
        loop = asyncio.get_running_loop()
        writer = JournalWriter(run.db, loop, _leave, errors.append)
    except BaseException:
        reader.close()
        raise
    session = RunSession(reader, writer, state)
    session.subscribe(follow, queued=True)
    key = partial(open_key, run.folder)
    executor = make_executor(state.settings.executor, state.spec, state.settings.devices, key)
    evaluations = Evaluations(run.work, PauseGate(), CapacityLimiter(1), executor=executor)
    try:
        await executor.open()
        await evaluations.sweep(state.evaluations, state.verifications)
        outcome = EFFECTS["verify"](session, {"node": node, "fresh": fresh})
        if state.status == "running" and not state.engine_gone:
            session.emit(EngineGone())
        (started, chosen) = outcome.effects[0]
        assert isinstance(started, VerifyStarted) and chosen is not None
        session.emit_all([(msgspec.structs.replace(started, resting=True), chosen)])
        await session.committed()
        done = await Verify(session, Measure(session, evaluations, task, _seeds(run.folder, state))).run(chosen)
        if state.status in ENDED:
            session.write_summary(msgspec.json.encode(summary_of(state)).decode())
        return done
    finally:
        await executor.aclose()
        await session.aclose()
        with suppress(OSError):
            run.work.rmdir()
        if errors:
            raise errors[0]


def _seeds(folder: Path, state: RunState) -> DataSeeds:
    """Return what fresh draws follow from: the run's secret, a known seed, or a secret for this once."""
    if state.settings.data_seed is None and not state.secret:
        # A run from before there were secrets: anybody may know its seed.
        return DataSeeds(secrets.token_bytes(32))
    return open_data_seeds(folder, state)


def _leave(command: Command) -> None:
    """Leave a command to the run's next engine."""
