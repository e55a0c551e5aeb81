"""The loop: rounds of learn → design → experiment → analyze over a run's journal, several in flight.

Everything the loop knows is a fold of the journal, so that a start and a resume are the same thing: fold what is
there, go on with the rounds that are open, start new ones until a limit is reached.
"""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import EvolveError, JournalError, Stopping
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.early_stop import MedianRule
from engine.evaluation.gpus import Gpus
from engine.journal import events as ev
from engine.journal.reader import Command
from engine.llm.client import Client
from engine.loop.commands import answer_command
from engine.loop.evaluations import Evaluations
from engine.loop.failover import Failover
from engine.loop.file_watch import FileWatch
from engine.loop.gate import PauseGate
from engine.loop.hooks import RunHooks, read_hooks
from engine.loop.models import ModelGateway
from engine.loop.priors import RunPriors
from engine.loop.session import Follower, RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.design import Design, add_injected
from engine.loop.stages.experiment import Experiment
from engine.loop.stages.judge import Judge
from engine.loop.stages.learn import Learn
from engine.loop.stages.measure import Measure
from engine.loop.stages.rerun import Rerun
from engine.loop.stages.seeds import Seeds
from engine.loop.startup import announce, recall_curves, recall_priors
from engine.loop.task_copy import TaskCopy
from engine.loop.telemetry import watch_machine
from engine.priors.place import place_of_run
from engine.priors.search import PriorSearch
from engine.priors.watch import PriorWatch
from engine.runs.folder import Run, summary_of
from engine.state.limits import limit_reached, new_warnings
from engine.state.no_design import is_stuck, reason_of
from engine.state.node import RunStatus
from engine.state.run_state import RunState
from engine.task.snapshot import TaskWatch

__all__ = ["Engine"]

_TICK_SECONDS = 1.0


class Engine:
    """Put the parts of a loop together and run one run with them. The caller holds the run's lock.

    Args:
        run: the run's folder.
        follow: called for every event after it is folded, for progress lines.
        patience_endpoint: seconds without a model that answers after which the run stops; for ever by default.
        attended: whether a run that needs a person is paused, and waits; else it stops.

    Raises:
        JournalError: the journal cannot be read or written.
        RunError: the run cannot go on as it is.
    """

    def __init__(
        self,
        run: Run,
        follow: Follower | None = None,
        patience_endpoint: float | None = None,
        attended: bool = True,
    ) -> None:
        self._attended = attended
        self.session = RunSession(run, follow, self._take_command, self._give_up)
        self.gate = PauseGate()
        self.failover = Failover(self.gate, self._record_pause, self._record_release)
        self.models = ModelGateway(
            self.session, self.gate, Client(self.gate.sleep), self.failover, partial(self.stop, now=False)
        )
        self._patience_endpoint = patience_endpoint
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._rounds: dict[int, asyncio.Task[None]] = {}
        """What runs now: rounds by their numbers, reruns of nodes by negative ones."""
        self._steps = 0
        self._end: ev.RunFinished | ev.RunStopped | ev.RunFailed | None = None
        self._closing = False
        start = self.session.state.start
        place = place_of_run(run.folder, self.session.state)
        self.prior_folder = place.folder
        """Where its priors are read from, live."""
        watch = PriorWatch(place, run.name, self.session.state.prior_revisions)
        self._priors = RunPriors(
            self.session, watch, PriorSearch(place.base), partial(self._failed, "a look at the priors")
        )
        self._task_watch = TaskWatch(
            Path(start.source), start.files, start.large_files, self.session.state.task_changes
        )
        self._file_watch = FileWatch(self._watched_paths, self._look_at_files)
        self.session.subscribe(self._wake_file_watch)
        self.gpus = Gpus(self.session.state.settings.devices) if self.session.spec.gpu else None
        self.slots = CapacityLimiter(self.slot_limit)
        stages = self.session.spec.stages
        self._early_stop: dict[str, MedianRule] = {
            stage.name: MedianRule(stage.early_stop) for stage in stages if stage.early_stop
        }
        self.evaluations = Evaluations(
            run.work,
            self.gate,
            self.slots,
            self.gpus,
            self._early_stop,
            {stage.name: CapacityLimiter(stage.slots) for stage in stages if stage.slots},
        )
        self._hooks = RunHooks(read_hooks(), run.folder, self.session)
        self.session.open()
        self._learn = Learn(self.session, self.session.sampler, self._priors, self.session.designer)
        self._design = Design(self.session, self.session.designer, self.models)
        measure = Measure(
            self.session, self.evaluations, TaskCopy(run.task, start, self.session.spec), self.session.data_seeds
        )
        judge = Judge(self.session, self.gate, self.models, self.session.prompts)
        self._experiment = Experiment(self.session, measure, judge, self._hooks)
        self._analyze = Analyze(self.session, self.models, self.session.prompts)
        self._rerun = Rerun(self.session, measure, judge, self._hooks, self._analyze)
        self._seeds = Seeds(self.session, self.gate, self._experiment, self._analyze)

    # What the stages use

    @property
    def slot_limit(self) -> int:
        """Evaluations at once."""
        if self.session.state.settings.slots:
            return self.session.state.settings.slots
        return len(self.gpus) if self.gpus is not None else len(os.sched_getaffinity(0))

    @property
    def worker_limit(self) -> int:
        """Rounds in flight."""
        return self.session.state.settings.workers or self.slot_limit + 2

    # Running

    async def work(self) -> RunStatus:
        """Run until a limit is reached, a person stops it, or it cannot go on; returns how it ended.

        Raises:
            JournalError: the journal could not be written any more.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal, number)
        try:
            designer = self.session.designer.name
            seeds = self.session.data_seeds
            announce(self.session, seeds, self.prior_folder, designer, self.worker_limit, self.slot_limit)
            self.models.close_lost()
            self.models.prepare()
            recall_curves(self.session, self._early_stop)
            await recall_priors(self.session, self.session.run.folder)
            await self.evaluations.sweep(self.session.state.evaluations)
            await self._look_at_task()
            await self.session.durable()
            watching = self._beside(self._file_watch.run())
            telemetry = self._beside(watch_machine(self.session))
            try:
                await self._schedule()
            finally:
                watching.cancel()
                telemetry.cancel()
                await self._drain()
                if self.session.state.proposed:
                    # What the last rounds proposed waits in the base for whoever reads it after the run.
                    await self._priors.look()
                await asyncio.wait([watching, telemetry])
            assert self._end is not None
            self._closing = True
            self.session.emit(self._end)
            self.session.write_summary(msgspec.json.encode(summary_of(self.session.state)).decode())
            await self.session.durable()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.remove_signal_handler(number)
            await self.models.aclose()
            await self._priors.aclose()
            await self.session.aclose()
        with suppress(OSError):
            self.session.run.work.rmdir()
        self._hooks.ended()
        return self.session.state.status

    def _beside(self, watch: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what only watches beside the rounds; an error of its own ends it and not the run."""

        def tell(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                traceback.print_exception(error)

        task = asyncio.create_task(watch)
        task.add_done_callback(tell)
        return task

    def _watched_paths(self) -> set[Path]:
        """The task's files, the priors', and the base, in which people decide on proposals."""
        return {*self._task_watch.paths, *self._priors.paths}

    def _wake_file_watch(self, event: ev.Event, state: RunState) -> None:
        """Look at the priors after a proposal, and after a setting that may accept those that wait."""
        if isinstance(event.data, ev.PriorProposed) or (
            isinstance(event.data, ev.SettingsChanged) and "retrieval" in event.data.settings
        ):
            self._file_watch.wake()

    async def _look_at_files(self) -> bool:
        await self._look_at_task()
        return await self._priors.look()

    async def _look_at_task(self) -> None:
        """Record how the task's folder differs from the recorded copy, which goes on, where that is new."""
        differences = await asyncio.to_thread(self._task_watch.look)
        if differences is not None:
            self.session.emit(ev.TaskChanged(differences))

    async def _schedule(self) -> None:
        """Keep as many rounds in flight as there are workers until something ends the run."""
        for round_ in sorted(self.session.state.open_rounds):
            self._launch(round_)
        for node, evaluation in self.session.state.evaluations.items():
            if evaluation.rerun is not None:
                self.rerun(node)
        if 0 not in self._rounds and not self.session.state.seeds_done:
            self.session.emit(ev.RoundStarted(), round=0)
            self._launch(0)
        while self._end is None:
            self._changed.clear()
            self.slots.limit = self.slot_limit
            self._warn_of_budgets()
            self._lose_patience()
            if self.session.state.seeds_done:
                self._start_rounds()
                if not self._rounds and self._end is None and not self.gate.stopping:
                    self._end = self._limit()
                self._give_up_designing()
            if self._end is None:
                # A timer of its own costs less than `wait_for`, which makes a task.
                tick = self._loop.call_later(_TICK_SECONDS, self._changed.set)
                await self._changed.wait()
                tick.cancel()

    def _start_rounds(self) -> None:
        while (
            len(self.session.state.open_rounds) < self.worker_limit and self._limit() is None and not self.gate.stopping
        ):
            if (
                self._steps == 0
                if self.gate.paused
                else is_stuck(self.session.state) and not self.session.state.injected
            ):
                return
            number = self.session.state.rounds_started + 1
            if self.gate.paused:
                self._steps -= 1
                self.gate.step(number)
            taken = {round_.worker for round_ in self.session.state.open_rounds.values()}
            worker = next(index for index in range(len(taken) + 1) if index not in taken)
            injected = next(iter(self.session.state.injected), None)
            self.session.emit(ev.RoundStarted(worker=worker, injected=injected), round=number)
            self._launch(number)

    def _limit(self) -> ev.RunFinished | ev.RunStopped | None:
        """What keeps further rounds from starting, if anything does."""
        return limit_reached(self.session.state, self.session.spec, *self.models.committed())

    def _warn_of_budgets(self) -> None:
        """Say once when half, and when four fifths of a budget are spent."""
        for warning in new_warnings(self.session.state):
            self.session.emit(warning)

    def _lose_patience(self) -> None:
        """Stop the run if no model has answered for too long."""
        failover, patience = self.failover, self._patience_endpoint
        if failover.reason and patience is not None and self._loop.time() - failover.since >= patience:
            self.stop(f"{failover.reason}; waited {patience:g} s", now=False)

    def _give_up_designing(self) -> None:
        """Wait for a person, or stop, once round after round got no design and none in flight may change that."""
        if self.session.state.open_rounds or self.gate.paused or self.gate.stopping or not is_stuck(self.session.state):
            return
        if self._limit() is not None:
            return
        reason = reason_of(self.session.state)
        if self._attended:
            self.gate.pause("designer", reason)
            self.session.emit(self.gate.paused_event(now=False))
        else:
            self.stop(reason, now=False)

    def _launch(self, number: int) -> None:
        task = asyncio.create_task(self._seeds.run() if number == 0 else self._run_round(number))
        self._rounds[number] = task
        task.add_done_callback(lambda done: self._landed(number, done))

    def rerun(self, node: int) -> None:
        """Measure a node again, beside the rounds; `node.rerun` is recorded already."""
        if -1 - node in self._rounds:
            return
        number = -1 - node
        task = asyncio.create_task(self._rerun.run(node))
        self._rounds[number] = task
        task.add_done_callback(lambda done: self._landed(number, done))

    def _landed(self, number: int, task: asyncio.Task[None]) -> None:
        del self._rounds[number]
        self.gate.end(number)
        self._changed.set()
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, Stopping):
            return
        self._failed(f"round {number}" if number >= 0 else f"the rerun of node {-1 - number}", error)

    def _failed(self, where: str, error: BaseException) -> None:
        """End the run over an error."""
        if isinstance(error, EvolveError):
            self._fail(str(error))
            return
        traceback.print_exception(error)
        self._fail(f"internal error in {where}: {type(error).__name__}: {error}")

    async def _run_round(self, number: int) -> None:
        round_ = self.session.state.open_rounds[number]
        while number in self.session.state.open_rounds:
            await self.gate.wait(number)
            match self.session.state.phase(round_):
                case "inject":
                    add_injected(self.session, round_)
                    # The node's number names the folder of its evaluation.
                    await self.session.committed()
                case "learn":
                    await self._learn.run(number)
                case "design":
                    await self._design.run(round_)
                case "experiment":
                    assert round_.node is not None
                    await self._experiment.run(round_.node)
                case "analyze":
                    assert round_.node is not None
                    await self._analyze.run(round_.node)
                case "end":
                    self.session.emit(ev.RoundEnded("node"), round=number)

    # Ending

    def stop(self, reason: str, now: bool) -> None:
        """End the run: running stages finish, or with `now` are ended; open rounds go on at the next start."""
        if self._end is None:
            self._end = ev.RunStopped(reason)
        self.gate.stop(now)
        if now:
            self.models.cancel()
            self.evaluations.cancel("the engine is stopping")
        else:
            self.evaluations.thaw()
        self._changed.set()

    def _fail(self, reason: str) -> None:
        if not isinstance(self._end, ev.RunFailed):
            self._end = ev.RunFailed(reason)
        self.stop(reason, now=True)

    async def _drain(self) -> None:
        """Wait for what still runs."""
        while self._rounds:
            await asyncio.wait(list(self._rounds.values()))
            await asyncio.sleep(0)

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        # A second Ctrl-C, or whoever ends the service, does not want to wait for an evaluation.
        self.stop(f"{name} received", now=self.gate.stopping or number == signal.SIGTERM)

    def _record_pause(self) -> None:
        self.session.emit(self.gate.paused_event(self.session.state.frozen))

    def _record_release(self) -> None:
        """Record that models answer again; the run stays paused if another holds the gate closed."""
        if self.gate.paused:
            self._record_pause()
        else:
            self.session.emit(ev.RunResumed())
            self.resumed()

    def _give_up(self, error: JournalError) -> None:
        self._fail(str(error))

    # Commands

    def _take_command(self, command: Command) -> None:
        if self._closing:
            # The run's last word is said: what is asked now is for the next engine.
            return
        answer_command(self, command)
        self._changed.set()

    def resumed(self) -> None:
        """Forget steps that were asked for and not taken."""
        self._steps = 0
        self._changed.set()

    def step(self) -> str:
        """Let one round run to its end although the run is paused; returns what happens."""
        for number in sorted(self.session.state.open_rounds):
            if not self.gate.stepping(number):
                self.gate.step(number)
                return f"round {number} goes on to its end"
        limit = self._limit()
        if limit is not None:
            return f"no further round: {limit.reason}"
        self._steps += 1
        return f"round {self.session.state.rounds_started + self._steps} runs to its end"
