"""Round 0: the programs that a run starts from are measured and analyzed, without a design."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.errors import RunError
from engine.journal.events import RoundEnded
from engine.loop.gate import PauseGate
from engine.loop.session import RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.best import crown_fittest
from engine.loop.stages.design import add_seed
from engine.loop.stages.experiment import Experiment
from engine.task.spec import seed_files

__all__ = ["Seeds"]


class Seeds:
    """Run round 0.

    Args:
        session: the run.
        gate: lets each step start.
        experiment: measures a seed.
        analyze: reports on it.
    """

    def __init__(self, session: RunSession, gate: PauseGate, experiment: Experiment, analyze: Analyze) -> None:
        self._session, self._gate = session, gate
        self._experiment, self._analyze = experiment, analyze

    async def run(self) -> None:
        """Make a node of every seed, and measure and analyze all of them at once.

        Raises:
            RunError: no seed has a score, or none can be ranked.
            Stopping: the engine is ending; the round goes on at the next start.
        """
        session = self._session
        await self._gate.wait(0)
        for name, sha256 in seed_files(session.state.start.files)[len(session.state.nodes) :]:
            add_seed(session, Path(name).stem, sha256)
        await session.durable()
        seeds = [node.id for node in session.state.nodes if node.round == 0 and not node.analyzed]
        # Every seed is waited for, also if one of them meets an error or the engine is ending.
        for error in await asyncio.gather(*map(self._measure, seeds), return_exceptions=True):
            if error is not None:
                raise error
        best = session.state.fittest()
        if best is None:
            raise self._unranked()
        if session.state.gained(best.id, session.state.best):
            # It was measured before the baseline that it is ranked against.
            crown_fittest(session)
        session.emit(RoundEnded("node"), round=0)

    async def _measure(self, node: int) -> None:
        await self._gate.wait(0)
        if self._session.state.nodes[node].status is None:
            await self._experiment.run(node)
        await self._gate.wait(0)
        await self._analyze.run(node)

    def _unranked(self) -> RunError:
        first = self._session.state.nodes[0]
        if first.score is not None:
            return RunError(
                f"no seed can be ranked: {first.name} lacks a part of its fitness",
                f"Measured are {', '.join([self._session.spec.metric, *first.metrics])}; see fitness in the settings",
            )
        return RunError(
            f"no seed has a score; {first.name}: {first.status}: {first.reason}",
            "'evolve check' on the task shows what the evaluator printed",
        )
