"""Lessons that a model writes beside the rounds: the next design starts meanwhile, and no worker waits for a lesson.

With one worker a run stays repeatable. A round begins as soon as the experiment before it has ended; its design never
knows the lesson of that experiment, however soon it is written: the lesson is recorded once the design is. The round
after that begins only when the lesson is recorded, so its design always knows it. A lesson in turn knows nothing of
later experiments. The design is asked first, since a server that answers one request after the other would hold it back
for the lesson; with several workers that matters for the first designs alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

from engine.errors import Stopping
from engine.journal import events as ev
from engine.journal.events import Event
from engine.loop.gate import PauseGate
from engine.loop.limits import Limits
from engine.loop.session import RunSession
from engine.loop.stages.analyze import Analyze
from engine.state.node import OpenRound
from engine.state.run_state import RunState

__all__ = ["Lessons"]

_DESIGNERS = ("researcher", "fixer")


class _Lesson:
    """One lesson that is missing."""

    def __init__(self, node: int, round_: int) -> None:
        self.node, self.round = node, round_
        self.since = 0
        """Rounds that began since it is being written."""
        self.asked = asyncio.Event()
        """Set once the next design is asked, or there is none."""
        self.designed = asyncio.Event()
        """Set once the next design is there, or there is none."""
        self.due = asyncio.Event()
        """Set once as many lessons are missing as are written together, or no more come."""


class Lessons:
    """Have nodes analyzed, beside the rounds if a model does it.

    Args:
        session: the run.
        gate: tells when the engine is ending.
        analyze: reports on nodes.
        limits: tell how many workers there are.
    """

    def __init__(self, session: RunSession, gate: PauseGate, analyze: Analyze, limits: Limits) -> None:
        self._session, self._gate, self._analyze, self._limits = session, gate, analyze, limits
        self._open: dict[int, _Lesson] = {}
        self._gathered: list[_Lesson] = []
        """Those that wait for others to be written together with, oldest first."""
        self._order = asyncio.Lock()
        self.seeds_measured = False
        """Whether designs may begin although round 0 is open: only its lessons are missing."""
        self.wake: Callable[[], None] = lambda: None
        """Called when a worker is free for another round."""
        session.subscribe(self._follow, [ev.RoundStarted, ev.CallStarted, ev.DesignDone, ev.RoundEnded])

    @property
    def rounds(self) -> set[int]:
        """The rounds that no worker is busy with, since only their lessons are missing."""
        return {lesson.round for lesson in self._open.values()}

    def is_beside(self, node: int) -> bool:
        """Tell whether the lesson of a node is written beside the rounds."""
        settings = self._session.state.settings.analyzer
        return (settings.ahead or settings.batch > 1) and self._analyze.asks_model(node)

    async def run(self, node: int) -> None:
        """Record the report on a node whose evaluation has ended, and the priors that it proposes.

        Raises:
            Stopping: the engine is ending; the node is analyzed at the next start.
        """
        if not self.is_beside(node):
            await self._analyze.run(node)
            return
        state = self._session.state
        lesson = self._open[node] = _Lesson(node, state.nodes[node].round)
        self._analyze.mark(node)
        self._gathered.append(lesson)
        if len(self._gathered) >= state.settings.analyzer.batch:
            lesson.due.set()
        self.wake()
        try:
            await self._until(lesson.due)
            if lesson in self._gathered:
                await self._write()
            if not state.nodes[node].analyzed:
                # The engine is ending, or who wrote it met an error.
                raise Stopping
        finally:
            del self._open[node]
            self.wake()

    def may_start(self) -> bool:
        """Tell whether another round may begin: not too many lessons, and with one worker none that it should know."""
        if self._limits.workers > 1:
            return len(self._open) < self._limits.workers + self._session.state.settings.analyzer.batch - 1
        return all(lesson.since == 0 for lesson in self._open.values() if lesson not in self._gathered)

    def settle(self) -> None:
        """Let lessons be written and recorded that no design is ahead of; all rounds that may begin have begun."""
        state, beside = self._session.state, self.rounds
        busy = [round_ for number, round_ in state.open_rounds.items() if number not in beside]
        if not any(map(self._designs, busy)):
            for lesson in self._open.values():
                lesson.asked.set()
                lesson.designed.set()
        # Lessons that are being written may be all that the next round waits for.
        if not busy and self._gathered and len(self._gathered) == len(self._open):
            self._gathered[-1].due.set()

    def _designs(self, round_: OpenRound) -> bool:
        """Tell whether a round is going to have a design; not one that a person has paused."""
        if self._gate.held_by("person") and not self._gate.open_for(round_.round):
            return False
        return self._session.state.phase(round_) in ("inject", "learn", "design")

    async def _write(self) -> None:
        """Write the lessons that are gathered, and record them."""
        group, self._gathered = self._gathered, []
        last = group[-1]
        alone = self._limits.workers == 1
        try:
            for lesson in group:
                lesson.since = sum(number > last.round for number in self._session.state.open_rounds)
            if alone or last.round == 0:
                await self._until(last.asked)
                await self._analyze.let_designs_go_first(last.designed)
            async with self._order if alone else nullcontext():
                reports = await self._analyze.reports([lesson.node for lesson in group])
                if alone:
                    await self._until(last.designed)
                for lesson, report in zip(group, reports, strict=True):
                    self._analyze.record(lesson.node, report)
        finally:
            for lesson in group:
                lesson.due.set()

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for an event, or until the engine ends: then nothing is held back any more."""
        ended = self._gate.ended
        waiting = [asyncio.ensure_future(item.wait()) for item in (event, ended) if not event.is_set()]
        if waiting:
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for future in waiting:
                    future.cancel()

    def _follow(self, event: Event, state: RunState) -> None:
        number = event.round or 0
        for lesson in self._open.values():
            if number <= lesson.round:
                continue
            match event.data:
                case ev.RoundStarted():
                    lesson.since += 1
                case ev.CallStarted() as data if data.role in _DESIGNERS:
                    lesson.asked.set()
                case ev.DesignDone() | ev.RoundEnded():
                    lesson.asked.set()
                    lesson.designed.set()
