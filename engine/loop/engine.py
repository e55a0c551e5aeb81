"""The engine: put the parts of a loop together over a run's journal, run them, and close them."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import JournalError
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.early_stop import MedianRule
from engine.evaluation.executors.choose import make_executor
from engine.journal.database import Command
from engine.journal.writer import JournalWriter
from engine.llm.client import Client
from engine.loop.cluster import leave_others, record_machines, watch_machines
from engine.loop.command_calls import CommandCalls
from engine.loop.commands import Commands
from engine.loop.evaluations import Evaluations
from engine.loop.failover import Failover, record_hold, record_release
from engine.loop.gate import PauseGate
from engine.loop.hooks import RunHooks, read_hooks
from engine.loop.lessons import Lessons
from engine.loop.limits import Limits
from engine.loop.models import ModelGateway
from engine.loop.novelty import NearWatch
from engine.loop.past import recall_past
from engine.loop.priors import RunPriors
from engine.loop.run_files import RunFiles
from engine.loop.scheduler import Scheduler
from engine.loop.session import Follower, RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.best import crown_fittest
from engine.loop.stages.confirm import Confirm
from engine.loop.stages.design import Design
from engine.loop.stages.experiment import Experiment
from engine.loop.stages.judge import Judge
from engine.loop.stages.learn import Learn
from engine.loop.stages.measure import Measure
from engine.loop.stages.rerun import Rerun
from engine.loop.stages.round import Stages
from engine.loop.stages.seeds import Seeds
from engine.loop.stages.verify import Verify
from engine.loop.standstill import StandstillWatch
from engine.loop.startup import announce, recall_curves, recall_priors
from engine.loop.task_copy import TaskCopy, lay_out
from engine.loop.telemetry import watch_machine
from engine.priors.place import place_of_run
from engine.priors.search import PriorSearch
from engine.priors.watch import PriorWatch
from engine.runs.folder import Run
from engine.runs.secret import open_data_seeds, open_key
from engine.runs.status import summary_of
from engine.state.node import RunStatus
from engine.task.snapshot import TaskWatch

__all__ = ["Engine"]


class Engine:
    """Put the parts of a loop together and run one run with them. The caller holds the run's lock.

    Args:
        run: the run's folder.
        follow: called for every event after it is written, for progress lines.
        patience_endpoint: seconds without a model that answers after which the run stops; for ever by default.
        attended: whether a run that needs a person is paused and waits; if not, it stops.

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
        self._run = run
        self._closing = False
        past = recall_past(run)
        state, spec, start = past.state, past.state.spec, past.state.start
        self._place = past.executor()
        executor = self._executor = make_executor(
            self._place, spec, state.settings.devices, partial(open_key, run.folder)
        )
        hooks = read_hooks()
        task = TaskCopy(run.task, start, spec)
        # Nothing is written before this line, so that a run that cannot go on is left as it was.
        lay_out(run, task, state, past.reader.blob)
        self._seeds = open_data_seeds(run.folder, state)
        writer = JournalWriter(run.db, asyncio.get_running_loop(), self._take_command, self._give_up)
        session = self._session = RunSession(past.reader, writer, state)
        session.subscribe(past.sampler.apply)
        session.subscribe(past.designer.follow)
        if follow is not None:
            session.subscribe(follow, queued=True)
        self._designer = past.designer
        self._hooks = RunHooks(hooks, run.folder, session)
        gate = self._gate = PauseGate()
        failover = Failover(gate, partial(record_hold, session, gate), partial(record_release, session, gate))
        models = self._models = ModelGateway(session, gate, Client(gate.sleep), failover, partial(self.stop, now=False))
        self._limits = Limits(session, executor.slots, models.committed)
        self._early_stop: dict[str, MedianRule] = {
            stage.name: MedianRule(stage.early_stop) for stage in spec.stages if stage.early_stop
        }
        stage_slots: dict[str, CapacityLimiter] = {
            stage.name: CapacityLimiter(stage.slots) for stage in spec.stages if stage.slots
        }
        self._evaluations = Evaluations(run.work, gate, self._limits.capacity, self._early_stop, stage_slots, executor)
        place = place_of_run(run.folder, state)
        self._prior_folder = place.folder
        self._priors = RunPriors(
            session,
            PriorWatch(place, run.name, state.prior_revisions),
            PriorSearch(place.base),
            lambda error: self._scheduler.fail("a look at the priors", error),
        )
        watch = TaskWatch(Path(start.source), start.files, start.large_files, state.task_changes)
        self._files = RunFiles(session, watch, self._priors)
        measure = Measure(session, self._evaluations, task, self._seeds)
        judge = Judge(session, gate, models, past.prompts)
        confirm = Confirm(session, measure)
        self._command_calls = CommandCalls(session, gate, self._evaluations, models.flights, run.work, run.task)
        experiment = Experiment(session, measure, judge, confirm, self._hooks)
        analyze = Analyze(session, models, past.prompts)
        lessons = Lessons(session, gate, analyze, self._limits)
        stages = Stages(
            session,
            gate,
            Learn(session, past.sampler, self._priors, past.designer),
            Design(session, past.designer, models, self._command_calls, NearWatch(session, self._priors.embed)),
            experiment,
            lessons,
            Seeds(session, gate, experiment, lessons),
            Rerun(session, measure, judge, confirm, self._hooks, analyze),
            Verify(session, measure),
        )
        self._scheduler = Scheduler(
            session, gate, stages, self._limits, self._evaluations, models, patience_endpoint, attended, lessons,
            StandstillWatch(session, past.designer),
        )  # fmt: skip
        self._commands = Commands(session, self._scheduler, past.last_command)

    async def work(self) -> RunStatus:
        """Run until a limit is reached, a person stops it, or it cannot go on; return how it ended.

        Raises:
            JournalError: the journal could not be written any more.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            await self._begin()
            beside = [self._beside(self._files.watch()), self._beside(watch_machine(self._session))]
            if self._executor.name != "local":
                beside.append(self._beside(watch_machines(self._session, self._executor)))
            try:
                await self._scheduler.run()
            finally:
                for task in beside:
                    task.cancel()
                await self._scheduler.drain()
                if self._session.state.proposed:
                    # What the last rounds proposed waits in the base for whoever reads it after the run.
                    await self._priors.look()
                await asyncio.wait(beside)
            await self._record_end()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            await self._models.aclose()
            self._command_calls.close()
            await self._priors.aclose()
            await self._designer.aclose()
            await self._executor.aclose()
            await self._session.aclose()
        with suppress(OSError):
            self._run.work.rmdir()
        self._hooks.ended()
        return self._session.state.status

    def stop(self, reason: str, now: bool) -> None:
        """End the run: running stages finish, or with `now` are ended; open rounds go on at the next start."""
        self._scheduler.stop(reason, now)

    async def _begin(self) -> None:
        """Announce this engine, and recall the past."""
        session, limits = self._session, self._limits
        # Before anything is written, so that a run whose machines cannot be reached is left as it was.
        await self._executor.open()
        limits.update()
        lost = await leave_others(session.state, self._executor)
        announce(
            session,
            self._seeds,
            self._prior_folder,
            self._designer.name,
            limits.workers,
            limits.slots,
            self._place,
            lost,
        )
        record_machines(session, self._executor)
        self._models.close_lost()
        if session.state.seeds_done and session.state.next_best() is not None:
            # An earlier engine ended between what changed the ranking and the crowning that follows from it.
            crown_fittest(session)
        self._models.prepare()
        recall_curves(session, self._early_stop)
        await recall_priors(session, self._run.folder)
        await self._evaluations.sweep(session.state.evaluations, session.state.verifications)
        await self._files.look_at_task()
        await session.durable()

    async def _record_end(self) -> None:
        end = self._scheduler.end
        assert end is not None
        self._closing = True
        self._session.emit(end)
        self._session.write_summary(msgspec.json.encode(summary_of(self._session.state)).decode())
        await self._session.durable()

    def _beside(self, watch: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a watch beside the rounds; an error of its own ends it and not the run."""

        def print_error(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                traceback.print_exception(error)

        task = asyncio.create_task(watch)
        task.add_done_callback(print_error)
        return task

    def _on_signal(self, number: int) -> None:
        # A second Ctrl-C, or whoever ends the service, does not want to wait for an evaluation.
        now = self._gate.stopping or number == signal.SIGTERM
        name = signal.Signals(number).name
        self._scheduler.stop(f"{name} received", now, name)

    def _give_up(self, error: JournalError) -> None:
        self._scheduler.fail("the journal", error)

    def _take_command(self, command: Command) -> None:
        if self._closing:
            # The run's last event is written: commands from now on are for the next engine.
            return
        self._commands.answer(command)
        self._scheduler.wake()
