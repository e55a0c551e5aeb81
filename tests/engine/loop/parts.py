"""The parts of a loop over a real journal, put together without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from engine.evaluation.executors.local import LocalExecutor
from engine.journal import events as ev
from engine.journal.database import Command, sha256_of
from engine.journal.writer import JournalWriter
from engine.llm.client import Client
from engine.loop.command_calls import CommandCalls
from engine.loop.commands import Commands
from engine.loop.evaluations import Evaluations
from engine.loop.failover import Failover, record_hold, record_release
from engine.loop.gate import PauseGate
from engine.loop.hooks import Hooks, RunHooks
from engine.loop.lessons import Lessons
from engine.loop.limits import Limits
from engine.loop.models import ModelGateway
from engine.loop.past import recall_past
from engine.loop.priors import RunPriors
from engine.loop.scheduler import Scheduler
from engine.loop.session import RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.confirm import Confirm
from engine.loop.stages.design import Design, add_seed
from engine.loop.stages.experiment import Experiment
from engine.loop.stages.judge import Judge
from engine.loop.stages.learn import Learn
from engine.loop.stages.measure import Measure
from engine.loop.stages.rerun import Rerun
from engine.loop.stages.round import Stages
from engine.loop.stages.seeds import Seeds
from engine.loop.stages.verify import Verify
from engine.loop.standstill import StandstillWatch
from engine.loop.task_copy import TaskCopy, lay_out
from engine.priors.place import place_of_run
from engine.priors.search import PriorSearch
from engine.priors.watch import PriorWatch
from engine.runs.folder import Run
from engine.runs.secret import open_data_seeds
from engine.task.spec import seed_texts

__all__ = ["Parts", "add_node", "open_parts"]


class Parts:
    """What stages are made of; `open_parts` makes and closes it."""

    def __init__(self, run: Run, hooks: Hooks, attended: bool) -> None:
        self.errors: list[Exception] = []
        past = recall_past(run)
        state = past.state
        self.sampler, self.designer, self.prompts = past.sampler, past.designer, past.prompts
        task = TaskCopy(run.task, state.start, state.spec)
        lay_out(run, task, state, past.reader.blob)
        loop = asyncio.get_running_loop()
        writer = JournalWriter(run.db, loop, self._answer_command, self.errors.append)
        session = self.session = RunSession(past.reader, writer, state)
        session.subscribe(past.sampler.apply)
        session.subscribe(past.designer.follow)
        self.gate = PauseGate()
        self.client = Client(self.gate.sleep)
        on_hold, on_release = (partial(record, self.session, self.gate) for record in (record_hold, record_release))
        self.failover = Failover(self.gate, on_hold, on_release)
        self.models = ModelGateway(
            self.session, self.gate, self.client, self.failover, lambda reason: self.scheduler.stop(reason, now=False)
        )
        place = place_of_run(run.folder, self.session.state)
        watch = PriorWatch(place, run.name, self.session.state.prior_revisions)
        self.priors = RunPriors(self.session, watch, PriorSearch(place.base), self.errors.append)
        self.limits = Limits(self.session, LocalExecutor().slots, self.models.committed)
        self.evaluations = Evaluations(run.work, self.gate, self.limits.capacity)
        self.command_calls = CommandCalls(session, self.gate, self.evaluations, self.models.flights, run.work, run.task)
        self.hooks = RunHooks(hooks, run.folder, session)
        self.measure = Measure(session, self.evaluations, task, open_data_seeds(run.folder, state))
        self.judge = Judge(session, self.gate, self.models, self.prompts)
        self.confirm = Confirm(session, self.measure)
        self.experiment = Experiment(session, self.measure, self.judge, self.confirm, self.hooks)
        self.analyze = Analyze(session, self.models, self.prompts)
        self.rerun = Rerun(session, self.measure, self.judge, self.confirm, self.hooks, self.analyze)
        self.lessons = Lessons(session, self.gate, self.analyze, self.limits)
        self.seeds = Seeds(session, self.gate, self.experiment, self.lessons)
        self.stages = Stages(
            session,
            self.gate,
            Learn(session, self.sampler, self.priors, self.designer),
            Design(session, self.designer, self.models, self.command_calls),
            self.experiment,
            self.lessons,
            self.seeds,
            self.rerun,
            Verify(session, self.measure),
        )
        self.scheduler = Scheduler(
            session,
            self.gate,
            self.stages,
            self.limits,
            self.evaluations,
            self.models,
            attended=attended,
            lessons=self.lessons,
            standstill=StandstillWatch(session, self.designer),
        )
        self.commands = Commands(session, self.scheduler, past.last_command)

    def _answer_command(self, command: Command) -> None:
        self.commands.answer(command)
        self.scheduler.wake()

    async def work(self) -> None:
        """Run until something ends the run, and record what."""
        await self.scheduler.run()
        await self.scheduler.drain()
        assert self.scheduler.end is not None
        self.session.emit(self.scheduler.end)


@asynccontextmanager
async def open_parts(run: Run, hooks: Hooks | None = None, attended: bool = True) -> AsyncIterator[Parts]:
    """Make the parts for a run, with its seed as node 0 of an open round 0; close them at the end.

    Args:
        run: the run's folder.
        hooks: the user's hooks; by default none.
        attended: whether a run that needs a person waits.
    """
    parts = Parts(run, hooks or Hooks(), attended)
    try:
        if not parts.session.state.nodes:
            parts.session.emit(ev.RoundStarted(), round=0)
            for seed in seed_texts(parts.session.state.start.files, parts.session.spec, parts.session.text):
                add_seed(parts.session, seed)
        yield parts
        assert not parts.errors
    finally:
        await parts.models.aclose()
        parts.command_calls.close()
        await parts.priors.aclose()
        await parts.designer.aclose()
        await parts.session.aclose()


def add_node(session: RunSession, score: float | None, code: str = "", status: ev.Status = "ok") -> int:
    """Record a node that has been measured and analyzed; return its number.

    Args:
        session: the run.
        score: its score.
        code: its program; by default one that no other node has.
        status: how its evaluation ended.
    """
    node = len(session.state.nodes)
    code = code or f"def point():\n    return [{node}, {node}]\n"
    digest = f"digest {node}"
    session.emit(
        ev.DesignDone(sha256_of(code.encode()), "tune", f"n{node}", "try", [0], digest=digest),
        round=node,
        node=node,
        blobs=[code.encode()],
    )
    measure(session, node, score, status)
    return node


def measure(session: RunSession, node: int, score: float | None, status: ev.Status = "ok") -> None:
    """Record the end of a node's evaluation and a report on it."""
    result = ev.EvalStageDone("explore", status, score=score)
    session.emit(
        result, ev.EvalDone(status, score, stage="explore"), ev.AnalyzeDone(f"lesson {node}"), round=node, node=node
    )
    if session.state.best is None and score is not None:
        session.emit(ev.BestCrowned(score), round=node, node=node)
