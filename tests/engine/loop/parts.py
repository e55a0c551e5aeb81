"""The parts of a loop over a real journal, put together without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.errors import JournalError
from engine.evaluation.capacity import CapacityLimiter
from engine.journal import events as ev
from engine.journal.reader import Command, sha256_of
from engine.llm.client import Client
from engine.loop.evaluations import Evaluations
from engine.loop.failover import Failover
from engine.loop.gate import PauseGate
from engine.loop.hooks import Hooks, RunHooks
from engine.loop.models import ModelGateway
from engine.loop.priors import RunPriors
from engine.loop.serve import watch_children_without_threads
from engine.loop.session import RunSession
from engine.loop.stages.analyze import Analyze
from engine.loop.stages.design import add_seed
from engine.loop.stages.experiment import Experiment
from engine.loop.stages.judge import Judge
from engine.loop.stages.measure import Measure
from engine.loop.stages.rerun import Rerun
from engine.loop.stages.seeds import Seeds
from engine.loop.task_copy import TaskCopy
from engine.priors.place import place_of_run
from engine.priors.search import PriorSearch
from engine.priors.watch import PriorWatch
from engine.runs.folder import Run

__all__ = ["Parts", "add_node", "open_parts"]


class Parts:
    """What stages are made of; `open_parts` makes and closes it."""

    def __init__(self, run: Run, hooks: Hooks) -> None:
        self.errors: list[Exception] = []
        self.session = RunSession(run, None, self._refuse_command, self.errors.append)
        self.session.open()
        self.gate = PauseGate()
        self.client = Client(self.gate.sleep)
        self.failover = Failover(self.gate, lambda: None, lambda: None)
        self.models = ModelGateway(self.session, self.gate, self.client, self.failover, self.errors_of_budget)
        place = place_of_run(run.folder, self.session.state)
        watch = PriorWatch(place, run.name, self.session.state.prior_revisions)
        self.priors = RunPriors(self.session, watch, PriorSearch(place.base), self.errors.append)
        self.slots = CapacityLimiter(2)
        self.evaluations = Evaluations(run.work, self.gate, self.slots)
        session, start = self.session, self.session.state.start
        assert start is not None
        self.hooks = RunHooks(hooks, run.folder, session)
        self.measure = Measure(session, self.evaluations, TaskCopy(run.task, start, session.spec), session.data_seeds)
        self.judge = Judge(session, self.gate, self.models, session.prompts)
        self.experiment = Experiment(session, self.measure, self.judge, self.hooks)
        self.analyze = Analyze(session, self.models, session.prompts)
        self.rerun = Rerun(session, self.measure, self.judge, self.hooks, self.analyze)
        self.seeds = Seeds(session, self.gate, self.experiment, self.analyze)

    @staticmethod
    def _refuse_command(command: Command) -> None:
        raise AssertionError("nobody asked for anything")

    def errors_of_budget(self, reason: str) -> None:
        """Note why the budgets have no room for a call."""
        self.errors.append(JournalError(reason))


@asynccontextmanager
async def open_parts(run: Run, hooks: Hooks | None = None) -> AsyncIterator[Parts]:
    """Make the parts for a run, with its seed as node 0 of an open round 0; close them at the end."""
    watch_children_without_threads()
    parts = Parts(run, hooks or Hooks())
    try:
        if not parts.session.state.nodes:
            parts.session.emit(ev.RoundStarted(), round=0)
            for name, sha256 in parts.session.seeds:
                add_seed(parts.session, name.removesuffix(".py"), sha256)
        yield parts
        assert not parts.errors
    finally:
        await parts.models.aclose()
        await parts.priors.aclose()
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
