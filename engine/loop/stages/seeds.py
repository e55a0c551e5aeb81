"""Round 0: the programs that a run starts from are measured and analyzed, without a design."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from engine.errors import RunError
from engine.journal.events import EvalStageDone, NoiseMeasured, RoundEnded
from engine.loop.gate import PauseGate
from engine.loop.lessons import Lessons
from engine.loop.session import RunSession
from engine.loop.stages.best import crown_fittest
from engine.loop.stages.design import add_seed, add_warm
from engine.loop.stages.experiment import Experiment
from engine.state.null_test import crowning_of, run_null_test
from engine.task.spec import seed_texts

__all__ = ["Seeds"]


class Seeds:
    """Run round 0.

    Args:
        session: the run.
        gate: lets each step start.
        experiment: measures a seed.
        lessons: have it analyzed.
    """

    def __init__(self, session: RunSession, gate: PauseGate, experiment: Experiment, lessons: Lessons) -> None:
        self._session, self._gate = session, gate
        self._experiment, self._lessons = experiment, lessons

    async def run(self) -> None:
        """Make a node of every seed, and measure and analyze all of them at once.

        Raises:
            RunError: no seed has a score, or none can be ranked.
            Stopping: the engine is ending; the round goes on at the next start.
        """
        session = self._session
        await self._gate.wait(0)
        seeds_of_task = seed_texts(session.state.start.files, session.spec, session.text)
        for seed in seeds_of_task[len(session.state.nodes) :]:
            add_seed(session, seed)
        for warm in session.state.warm[len(session.state.nodes) - len(seeds_of_task) :]:
            add_warm(session, warm)
        await session.durable()
        seeds = [node.id for node in session.state.nodes if node.round == 0 and not node.analyzed]
        await _all(map(self._measure, seeds))
        if all(node.fitness is None for node in session.state.nodes):
            raise self._unranked()
        if session.state.next_best() is not None:
            # It was measured before the baseline that it is ranked against.
            crown_fittest(session)
        self._lessons.seeds_measured = True
        await _all(self._lessons.run(node) for node in seeds if not session.state.nodes[node].analyzed)
        noise = [await self._noise()] if session.spec.noisy else []
        session.emit(*(found for found in noise if found is not None), RoundEnded("node"), round=0)

    async def _measure(self, node: int) -> None:
        await self._gate.wait(0)
        if self._session.state.nodes[node].status is None:
            await self._experiment.run(node)
        if not self._lessons.is_beside(node):
            await self._gate.wait(0)
            await self._lessons.run(node)

    async def _noise(self) -> NoiseMeasured | None:
        """Return what the seed's own measurements, taken anyway, say of the noise; None of fewer than two."""
        session, state = self._session, self._session.state
        stage = session.spec.score_stage.name
        values = [
            state.measured_fitness(event.data.score, event.data.metrics, state.nodes[0].judge)
            for event in session.past_of(0)
            if isinstance(event.data, EvalStageDone) and event.data.stage == stage
        ]
        ranked = [value for value in values if value is not None]
        if len(ranked) < 2:
            return None
        found = await asyncio.to_thread(run_null_test, ranked, crowning_of(session.spec, state.settings))
        is_news = not found.ok or (session.spec.noisy == "unknown" and found.spread > 0.0)
        note = f"noise: {found.describe(state.settings.fitness.kind == 'score')}" if is_news else ""
        return NoiseMeasured(found.measurements, found.spread, found.chance, note)

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


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Wait for all, also if one of them meets an error or the engine is ending; then raise it."""
    for error in await asyncio.gather(*works, return_exceptions=True):
        if error is not None:
            raise error
