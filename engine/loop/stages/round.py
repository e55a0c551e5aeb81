"""One round: which stage it is in follows from the journal, and so it goes on where an earlier engine left it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from engine.journal.events import RoundEnded
from engine.loop.gate import PauseGate
from engine.loop.lessons import Lessons
from engine.loop.session import RunSession
from engine.loop.stages.design import Design, add_injected
from engine.loop.stages.experiment import Experiment
from engine.loop.stages.learn import Learn
from engine.loop.stages.rerun import Rerun
from engine.loop.stages.seeds import Seeds
from engine.loop.stages.verify import Verify
from engine.state.node import OpenRound, Phase

__all__ = ["Stages"]


class Stages:
    """Take rounds through their stages.

    Args:
        session: the run.
        gate: lets each stage of a round start.
        learn: the first stage of a round.
        design: the second.
        experiment: the third.
        lessons: the last.
        seeds: round 0.
        rerun: measures nodes again, beside the rounds.
        verify: measures nodes on fresh data, beside the rounds.
    """

    def __init__(
        self,
        session: RunSession,
        gate: PauseGate,
        learn: Learn,
        design: Design,
        experiment: Experiment,
        lessons: Lessons,
        seeds: Seeds,
        rerun: Rerun,
        verify: Verify,
    ) -> None:
        self._session, self._gate = session, gate
        self._learn, self._design, self._experiment, self._lessons = learn, design, experiment, lessons
        self._seeds, self._rerun, self._verify = seeds, rerun, verify
        self._phases: dict[Phase, Callable[[OpenRound], Awaitable[object]]] = {
            "inject": self._inject,
            "learn": lambda round_: self._learn.run(round_.round),
            "design": self._design.run,
            "experiment": lambda round_: self._experiment.run(_node(round_)),
            "analyze": lambda round_: self._lessons.run(_node(round_)),
            "end": self._end,
        }

    async def run(self, number: int) -> None:
        """Run a round to its end; 0 is the round of the seeds.

        Raises:
            Stopping: the engine is ending; the round goes on at the next start.
            EvolveError: the run cannot go on.
        """
        if number == 0:
            await self._seeds.run()
            return
        rounds = self._session.state.open_rounds
        round_ = rounds[number]
        while number in rounds:
            await self._gate.wait(number)
            await self._phases[self._session.state.phase(round_)](round_)

    async def measure_again(self, node: int) -> None:
        """Measure a node once more; the journal says already that a person asked for it.

        Raises:
            Stopping: the engine is ending; the measurement is taken at the next start.
        """
        await self._rerun.run(node)

    async def verify(self, node: int) -> None:
        """Measure a node on fresh data; the journal says already that a person asked for it, and on which.

        Raises:
            Stopping: the engine is ending; the verification goes on at the next start.
        """
        await self._verify.run(node)

    async def _inject(self, round_: OpenRound) -> None:
        add_injected(self._session, round_)
        # The node's number names the folder of its evaluation, so the node must be in the journal first.
        await self._session.committed()

    async def _end(self, round_: OpenRound) -> None:
        self._session.emit(RoundEnded("node"), round=round_.round)


def _node(round_: OpenRound) -> int:
    assert round_.node is not None
    return round_.node
