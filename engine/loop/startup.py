"""What an engine does with a run before its first round: says so, clears what a dead one left, recalls the past."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from cognition.store import BaseError
from engine.evaluation.curve import decode_curve
from engine.evaluation.evaluator import recover
from engine.evaluation.sandbox import find_sandbox
from engine.evaluation.supervisor.folders import remove_tree
from engine.journal import events as ev
from engine.priors.place import open_collection, place_of_run
from engine.priors.usage import use_over_runs
from engine.runs.folder import all_runs

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["announce", "recall_curves", "recall_priors", "sweep"]


def announce(engine: Engine) -> None:
    """Record that this engine took the run up, and with what."""
    sandbox = find_sandbox()
    engine.session.emit(
        ev.EngineStarted(
            pid=os.getpid(),
            host=socket.gethostname(),
            sandbox=sandbox.name,
            guarantee="guarded" if engine.session.spec.guarded and sandbox.guards else "open",
            workers=engine.worker_limit,
            slots=engine.slot_limit,
            designer=engine.session.designer.name,
            missing=_missing(engine),
            secret=engine.session.data_seeds.commitment,
            unconfined=sandbox.shortfall,
        )
    )


def _missing(engine: Engine) -> list[str]:
    """What the run had and is not here, for a run that was moved."""
    missing = [engine.session.data_seeds.lack] if engine.session.data_seeds.lack else []
    if engine.session.state.priors_shown and not engine.prior_folder.is_dir():
        missing.append(
            f"the folder of its priors, {engine.prior_folder}, is gone, so that designs are shown none "
            "('evolve fork --priors-at-seq' makes a run with those that it was shown)"
        )
    return missing


async def recall_priors(engine: Engine) -> None:
    """Once, before the first round: what came of the priors in the other runs beside this one, where that is asked for.

    Recorded, so that a resumed run, a replay and a fork begin with the same.
    """
    state = engine.session.state
    if not state.settings.designer.earlier_runs or state.priors_recalled or state.rounds_started:
        return

    def look() -> dict[str, tuple[int, int]]:
        collection = open_collection(place_of_run(engine.session.run.folder, state))
        try:
            others = [
                run.folder
                for run in all_runs(engine.session.run.folder.parent)
                if run.folder != engine.session.run.folder
            ]
            uses = use_over_runs(collection, others)
        finally:
            collection.store.close()
        return {prior: (use.gains, use.given - use.gains) for prior, use in sorted(uses.items()) if use.given}

    try:
        engine.session.emit(ev.PriorsRecalled(await asyncio.to_thread(look)))
    except BaseError as exc:
        engine.session.emit(
            ev.PriorWarned([f"the run begins without what came of priors in earlier ones: {exc.message}"])
        )


async def sweep(engine: Engine) -> None:
    """Remove folders of evaluations whose results were recorded just before an engine died."""
    awaited = tuple(f"{node}-" for node in engine.session.state.evaluations)
    recorded = {
        f"{node}-{result.stage}-{result.repeat}"
        for node, evaluation in engine.session.state.evaluations.items()
        for result in evaluation.done
    }
    for folder in engine.session.run.work.iterdir():
        if folder.name in recorded or not folder.name.startswith(awaited):
            # Its supervisor may still be at work in it.
            await recover(folder)
            await asyncio.to_thread(remove_tree, str(folder))


def recall_curves(engine: Engine) -> None:
    """Give the rules of early stop the newest curves of the past."""
    if not engine.early_stop:
        return
    for event in engine.session.recent_results():
        rule = engine.early_stop.get(event.stage)
        if rule is not None and event.status == "ok" and event.curve_blob:
            rule.add(decode_curve(engine.session.text(event.curve_blob).encode()))
