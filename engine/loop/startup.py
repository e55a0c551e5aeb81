"""What an engine does before the first round: announce itself, and recall what the past left."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from cognition.store import BaseError
from engine.evaluation.curve import decode_curve
from engine.evaluation.early_stop import MedianRule
from engine.evaluation.sandbox import find_sandbox
from engine.journal.events import EngineStarted, PriorsRecalled, PriorWarned
from engine.loop.session import RunSession
from engine.priors.place import open_collection, place_of_run
from engine.priors.usage import use_over_runs
from engine.runs.folder import all_runs
from engine.runs.secret import DataSeeds
from engine.settings.executor import ExecutorSettings

__all__ = ["announce", "recall_curves", "recall_priors"]

_TRUSTED = "the evaluator runs unconfined, as its task asks."


def announce(
    session: RunSession,
    seeds: DataSeeds,
    priors: Path,
    designer: str,
    workers: int,
    slots: int,
    executor: ExecutorSettings,
    lost: Sequence[str] = (),
) -> None:
    """Record that this engine continues the run, and with what.

    Args:
        session: the run.
        seeds: the seeds of its evaluations.
        priors: the folder of its priors.
        designer: the name of its designer.
        workers: rounds in flight.
        slots: evaluations at once.
        executor: where they run; the run's settings may say so only after this.
        lost: what it had and goes on without, a sentence each; what this machine lacks comes before that.
    """
    sandbox, trusted = find_sandbox(), session.spec.unconfined
    session.emit(
        EngineStarted(
            pid=os.getpid(),
            host=socket.gethostname(),
            sandbox=sandbox.name,
            guarantee="guarded" if session.spec.guarded and sandbox.guards else "open",
            workers=workers,
            slots=slots,
            designer=designer,
            missing=[*_missing(session, seeds, priors), *lost],
            secret=seeds.commitment,
            **_place(executor),
            unconfined=f"{_TRUSTED} {sandbox.shortfall}".strip() if trusted else sandbox.shortfall,
        )
    )


def _place(settings: ExecutorSettings) -> dict[str, str]:
    if settings.name == "local":
        return {}
    return {"executor": settings.name, **({"address": settings.address} if settings.name == "ray" else {})}


def _missing(session: RunSession, seeds: DataSeeds, priors: Path) -> list[str]:
    """Return what the run had and this machine has not, for a run that was moved."""
    missing = [seeds.lack] if seeds.lack else []
    if session.state.priors_shown and not priors.is_dir():
        missing.append(
            f"the folder of its priors, {priors}, is gone, so that designs are shown none "
            "('evolve fork --priors-at-seq' makes a run with those that it was shown)"
        )
    return missing


async def recall_priors(session: RunSession, folder: Path) -> None:
    """Record, before the first round, how priors fared in the other runs beside this one, if the settings ask for it.

    A resumed run, a replay and a fork begin with what is recorded.

    Args:
        session: the run.
        folder: its folder.
    """
    state = session.state
    if not state.settings.designer.earlier_runs or state.priors_recalled or state.rounds_started:
        return

    def look() -> dict[str, tuple[int, int]]:
        collection = open_collection(place_of_run(folder, state))
        try:
            others = [run.folder for run in all_runs(folder.parent) if run.folder != folder]
            uses = use_over_runs(collection, others)
        finally:
            collection.store.close()
        return {prior: (use.gains, use.given - use.gains) for prior, use in sorted(uses.items()) if use.given}

    try:
        session.emit(PriorsRecalled(await asyncio.to_thread(look)))
    except BaseError as exc:
        session.emit(PriorWarned([f"the run begins without the outcomes of priors in earlier runs: {exc.message}"]))


def recall_curves(session: RunSession, rules: Mapping[str, MedianRule]) -> None:
    """Give the rules of early stop, by stage, the newest curves of the past."""
    if not rules:
        return
    for event in session.recent_results():
        rule = rules.get(event.stage)
        if rule is not None and event.status == "ok" and event.curve_blob:
            rule.add(decode_curve(session.text(event.curve_blob).encode()))
