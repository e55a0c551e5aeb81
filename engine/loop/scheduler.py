"""The scheduler: keep rounds in flight until something ends the run, and do what people ask of a run at work.

What is in flight is read from the journal, so that a start and a resume are the same: go on with the rounds that are
open, start new ones until a limit is reached.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any, Protocol

from engine.errors import EvolveError, Stopping
from engine.journal.events import (
    BestCrowned,
    Data,
    Event,
    PauseArmed,
    RoundStarted,
    RunFailed,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStopped,
)
from engine.loop.evaluations import Evaluations
from engine.loop.gate import PauseGate
from engine.loop.lessons import Lessons
from engine.loop.limits import Limits
from engine.loop.models import ModelGateway
from engine.loop.session import RunSession
from engine.loop.standstill import StandstillWatch
from engine.state.armed import due_pause
from engine.state.no_design import is_stuck, reason_of
from engine.state.node import OpenRound
from engine.state.run_state import RunState

__all__ = ["Rounds", "Scheduler"]

_TICK_SECONDS = 1.0


class Rounds(Protocol):
    """What is scheduled; `engine.loop.stages.round.Stages` in a run."""

    async def run(self, number: int) -> None:
        """Run a round to its end; 0 is the round of the seeds."""

    async def measure_again(self, node: int) -> None:
        """Measure a node once more."""

    async def verify(self, node: int) -> None:
        """Measure a node on fresh data."""


class Scheduler:
    """Start rounds and reruns, and end the run.

    Args:
        session: the run.
        gate: stands before every stage.
        stages: take rounds to their end.
        limits: tell how many rounds there may be.
        evaluations: are frozen, thawed and cancelled with the run.
        models: are asked by rounds; their failover tells how long none has answered.
        patience: seconds without a model that answers after which the run stops; for ever by default.
        attended: whether a run that needs a person is paused and waits; if not, it stops.
        lessons: rounds that only they are missing to keep no worker busy.
        standstill: looks before every round whether the run stands still; by default nothing does.
    """

    def __init__(
        self,
        session: RunSession,
        gate: PauseGate,
        stages: Rounds,
        limits: Limits,
        evaluations: Evaluations,
        models: ModelGateway,
        patience: float | None = None,
        attended: bool = True,
        lessons: Lessons | None = None,
        standstill: StandstillWatch | None = None,
    ) -> None:
        self._session, self._gate, self._stages, self._limits = session, gate, stages, limits
        self._evaluations, self._models = evaluations, models
        self._patience, self._attended = patience, attended
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._tasks: dict[int | tuple[str, int], asyncio.Task[None]] = {}
        """What runs now: rounds by their numbers, reruns of nodes by negative ones, verifications by a pair."""
        self._steps = 0
        """Rounds that may start although the run is paused."""
        self._end: RunFinished | RunStopped | RunFailed | None = None
        self._lessons, self._standstill = lessons, standstill
        if lessons is not None:
            lessons.wake = self.wake
        session.subscribe(self._follow, [RunResumed])
        session.subscribe(lambda event, state: self.wake(), [BestCrowned])

    async def run(self) -> RunFinished | RunStopped | RunFailed:
        """Keep as many rounds in flight as there are workers until something ends the run; return what.

        Rounds may still be at their last stage then: `drain` waits for them.
        """
        state = self._session.state
        for number in sorted(state.open_rounds):
            self._start(number, self._stages.run(number))
        for node, evaluation in state.evaluations.items():
            if evaluation.rerun is not None:
                self.rerun(node)
        for node, verification in state.verifications.items():
            if verification.started.asked:
                self.verify(node)
        if 0 not in self._tasks and not state.seeds_done:
            self._session.emit(RoundStarted(), round=0)
            self._start(0, self._stages.run(0))
        self._tick()
        while self._end is None:
            self._changed.clear()
            self._limits.update()
            self._lose_patience()
            self._pause_if_due()
            if state.seeds_done or (self._lessons is not None and self._lessons.seeds_measured):
                self._start_rounds()
                if self._lessons is not None:
                    self._lessons.settle()
                if not self._tasks and self._end is None and not self._gate.stopping:
                    self._end = self._limits.reached()
                self._give_up_designing()
            if self._end is None:
                await self._changed.wait()
        return self._end

    def _tick(self) -> None:
        """Look at limits and patience once a second, too: time alone may have reached them."""
        self._changed.set()
        if self._end is None:
            self._loop.call_later(_TICK_SECONDS, self._tick)

    async def drain(self) -> None:
        """Wait for all that is in flight; `run` has returned or failed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
            await asyncio.sleep(0)

    @property
    def end(self) -> RunFinished | RunStopped | RunFailed | None:
        """What ended the run; it may become a failure while the last rounds end."""
        return self._end

    def wake(self) -> None:
        """Look at once whether rounds can start or the run has ended."""
        self._changed.set()

    def fail(self, where: str, error: BaseException) -> None:
        """End the run over an error.

        Args:
            where: what met the error, for the message if it is not one for people.
            error: the error.
        """
        if isinstance(error, EvolveError):
            reason = str(error)
        else:
            traceback.print_exception(error)
            reason = f"internal error in {where}: {type(error).__name__}: {error}"
        if not isinstance(self._end, RunFailed):
            self._end = RunFailed(reason)
        self.stop(reason, now=True)

    # What commands ask for

    @property
    def paused(self) -> bool:
        """Whether no stage starts, for whatever reason."""
        return self._gate.paused

    @property
    def waits_for_person(self) -> bool:
        """Whether a person has paused the run, or must help it on."""
        return self._gate.held_by("person") or self._gate.held_by("designer")

    @property
    def stopping(self) -> bool:
        """Whether the run is ending."""
        return self._gate.stopping

    @property
    def running(self) -> int:
        """How many evaluations run."""
        return len(self._evaluations)

    @property
    def silence(self) -> str:
        """Why rounds wait for a model; empty if none does."""
        return self._models.failover.reason

    def pause(self, now: bool) -> RunPaused:
        """Let no further stage start, and with `now` freeze what runs; return the event to record."""
        self._gate.pause()
        if now:
            self._evaluations.freeze()
        return self._gate.paused_event(now)

    def resume(self) -> list[Data]:
        """Undo a person's pause; return the events to record, the last of which tells whether the run waits still."""
        self._evaluations.thaw()
        self._gate.resume()
        self._gate.resume("designer")
        return [RunResumed(), self._gate.paused_event(now=False)] if self._gate.paused else [RunResumed()]

    def retry_models(self) -> None:
        """Ask every model again at once."""
        self._models.failover.retry()

    def step(self) -> str:
        """Let one round run to its end although the run is paused; return what happens, for people."""
        state = self._session.state
        for number in sorted(state.open_rounds):
            if not self._gate.stepping(number):
                self._gate.step(number)
                return f"round {number} goes on to its end"
        limit = self._limits.reached()
        if limit is not None:
            return f"no further round: {limit.reason}"
        self._steps += 1
        return f"round {state.rounds_started + self._steps} runs to its end"

    def stop(self, reason: str, now: bool, signal: str = "") -> None:
        """End the run: running stages finish, or with `now` are ended; open rounds go on at the next start."""
        if self._end is None:
            self._end = RunStopped(reason, signal)
        self._gate.stop(now)
        if now:
            self._models.cancel()
            self._evaluations.cancel("the engine is stopping")
        else:
            self._evaluations.thaw()
        self._changed.set()

    def rerun(self, node: int) -> None:
        """Measure a node again, beside the rounds; the journal says already that a person asked for it."""
        if -1 - node not in self._tasks:
            self._start(-1 - node, self._stages.measure_again(node))

    def verify(self, node: int) -> None:
        """Measure a node on fresh data, beside the rounds; the journal says already that a person asked for it."""
        if ("verify", node) not in self._tasks:
            self._start(("verify", node), self._stages.verify(node))

    # Rounds

    def _start(self, number: int | tuple[str, int], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._finish(number, done))

    def _finish(self, number: int | tuple[str, int], task: asyncio.Task[None]) -> None:
        del self._tasks[number]
        if isinstance(number, int):
            self._gate.end(number)
        self._changed.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Stopping):
            self.fail(_name_of(number), error)

    def _start_rounds(self) -> None:
        state = self._session.state
        while (
            len(self._busy()) < self._limits.workers
            and (self._lessons is None or self._lessons.may_start())
            and self._limits.reached() is None
            and not self._gate.stopping
            and self._may_start()
        ):
            if self._standstill is not None:
                self._standstill.look()
            number = state.rounds_started + 1
            if self._gate.paused:
                self._steps -= 1
                self._gate.step(number)
            taken = {round_.worker for round_ in self._busy()}
            worker = next(index for index in range(len(taken) + 1) if index not in taken)
            injected = next(iter(state.injected), None)
            self._session.emit(RoundStarted(worker=worker, injected=injected), round=number)
            self._start(number, self._stages.run(number))

    def _busy(self) -> list[OpenRound]:
        """Return the rounds that keep a worker busy."""
        beside = set() if self._lessons is None else self._lessons.rounds
        return [round_ for number, round_ in self._session.state.open_rounds.items() if number not in beside]

    def _may_start(self) -> bool:
        """Tell whether one more round may start: asked for by a step, or likely to get a design."""
        state = self._session.state
        if self._gate.paused:
            return self._steps > 0
        return bool(state.injected) or not is_stuck(state)

    def _lose_patience(self) -> None:
        """Stop the run if no model has answered for too long."""
        failover = self._models.failover
        if failover.reason and self._patience is not None and self._loop.time() - failover.since >= self._patience:
            self.stop(f"{failover.reason}; waited {self._patience:g} s", now=False)

    def _pause_if_due(self) -> None:
        """Pause the run if the moment has come at which a person wanted that."""
        reason = due_pause(self._session.state)
        if reason and not self._gate.stopping:
            self._gate.pause("person", reason)
            self._session.emit(PauseArmed(), self._gate.paused_event(now=self._session.state.frozen))

    def _give_up_designing(self) -> None:
        """Wait for a person, or stop, once round after round got no design and none in flight may change that."""
        state = self._session.state
        if state.open_rounds or self._gate.paused or self._gate.stopping or not is_stuck(state):
            return
        if self._limits.reached() is not None:
            return
        reason = reason_of(state)
        if self._attended:
            self._gate.pause("designer", reason)
            self._session.emit(self._gate.paused_event(now=False))
        else:
            self.stop(reason, now=False)

    def _follow(self, event: Event, state: RunState) -> None:
        # The run was resumed: steps that were asked for and not taken are forgotten.
        self._steps = 0
        self._changed.set()


def _name_of(number: int | tuple[str, int]) -> str:
    """Return what runs under a number, for people."""
    if isinstance(number, tuple):
        return f"the verification of node {number[1]}"
    return f"round {number}" if number >= 0 else f"the rerun of node {-1 - number}"
