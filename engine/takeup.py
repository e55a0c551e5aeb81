"""What an engine does with a run before its first round: says so, clears what a dead one left, recalls the past."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from engine import events as ev
from engine.curve import decode_curve
from engine.evaluation.evaluator import recover
from engine.evaluation.sandbox import sandbox_name
from engine.evaluation.supervisor.folders import remove_tree

if TYPE_CHECKING:
    from engine.loop import Engine

__all__ = ["announce", "recall_curves", "sweep"]


def announce(engine: Engine) -> None:
    """Record that this engine took the run up, and with what."""
    sandbox = sandbox_name()
    engine.emit(
        ev.EngineStarted(
            pid=os.getpid(),
            host=socket.gethostname(),
            sandbox=sandbox,
            guarantee="guarded" if engine.spec.guarded and sandbox == "bubblewrap" else "open",
            workers=engine.worker_limit,
            slots=engine.slot_limit,
            designer=engine.designer.name,
            missing=_missing(engine),
        )
    )


def _missing(engine: Engine) -> list[str]:
    """What the run had and is not here, for a run that was moved."""
    if engine.state.priors_shown and not engine.prior_folder.is_dir():
        return [
            f"the folder of its priors, {engine.prior_folder}, is gone, so that designs are shown none "
            "('evolve fork --priors-at-seq' makes a run with those that it was shown)"
        ]
    return []


async def sweep(engine: Engine) -> None:
    """Remove folders of evaluations whose results were recorded just before an engine died."""
    awaited = tuple(f"{node}-" for node in engine.state.evaluations)
    recorded = {
        f"{node}-{result.stage}-{result.repeat}"
        for node, evaluation in engine.state.evaluations.items()
        for result in evaluation.done
    }
    for folder in engine.run.work.iterdir():
        if folder.name in recorded or not folder.name.startswith(awaited):
            # Its supervisor may still be at work in it.
            await recover(folder)
            await asyncio.to_thread(remove_tree, str(folder))


def recall_curves(engine: Engine) -> None:
    """Give the rules of early stop the newest curves of the past."""
    if not engine.early_stop:
        return
    for event in engine.recent_results():
        rule = engine.early_stop.get(event.stage)
        if rule is not None and event.status == "ok" and event.curve_blob:
            rule.add(decode_curve(engine.text(event.curve_blob).encode()))
