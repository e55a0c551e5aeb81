"""Round 0: the programs that a run starts from are measured and analyzed, without a design."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RunError
from engine.journal import events as ev
from engine.loop.stages.design import add_seed
from engine.loop.stages.experiment import crown_fittest, experiment

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["run_seeds"]


async def run_seeds(engine: Engine) -> None:
    """Round 0: every seed becomes a node and is measured."""
    await engine.gate.wait(0)
    for name, sha256 in engine.session.seeds[len(engine.session.state.nodes) :]:
        add_seed(engine.session, Path(name).stem, sha256)
    await engine.session.durable()
    seeds = [node.id for node in engine.session.state.nodes if node.round == 0 and not node.analyzed]
    # Every seed is waited for, also when one of them meets an error or the engine is ending.
    for error in await asyncio.gather(*(_measure_seed(engine, seed) for seed in seeds), return_exceptions=True):
        if error is not None:
            raise error
    best = engine.session.state.fittest()
    if best is None:
        first = engine.session.state.nodes[0]
        if first.score is not None:
            raise RunError(
                f"no seed can be ranked: {first.name} lacks a part of its fitness",
                f"Measured are {', '.join([engine.session.spec.metric, *first.metrics])}; see fitness in the settings",
            )
        raise RunError(
            f"no seed has a score; {first.name}: {first.status}: {first.reason}",
            "'evolve check' on the task shows what the evaluator printed",
        )
    if engine.session.state.gained(best.id, engine.session.state.best):
        # It was measured before the baseline that it is ranked against.
        crown_fittest(engine)
    engine.session.emit(ev.RoundEnded("node"), round=0)


async def _measure_seed(engine: Engine, node: int) -> None:
    await engine.gate.wait(0)
    if engine.session.state.nodes[node].status is None:
        await experiment(engine, node)
    await engine.gate.wait(0)
    await engine.analyze.run(node)
