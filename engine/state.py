"""RunState: the fold of a run's events. The only code that turns events into state.

The engine folds to sample and to resume, the terminal folds live, replay folds a prefix, export folds all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from engine import events as ev
from engine.config import deep_merge
from engine.events import Event
from engine.fitness import fitness_of, least_gain
from engine.llm.messages import REQUEST_KINDS
from engine.settings import Settings
from engine.task import TaskSpec

__all__ = ["BestStep", "Node", "NodeEvaluation", "OpenRound", "RoleSpent", "RunState", "RunStatus"]

RunStatus = Literal["running", "paused", "finished", "stopped", "failed"]
Phase = Literal["inject", "learn", "design", "experiment", "analyze", "end"]

ENDED: tuple[RunStatus, ...] = ("finished", "stopped", "failed")

_HINTS_SHOWN = 5
_MENDABLE: tuple[ev.Status, ...] = ("invalid", "crashed", "timeout")


@dataclass(slots=True)
class Node:
    """One candidate program and what came of it."""

    id: int
    round: int
    parents: tuple[int, ...]
    program: str
    """sha256 of its source."""
    operator: str
    name: str
    motivation: str
    priors: tuple[str, ...]
    designed_at: int
    size: int = 0
    """Bytes of its source; 0 where the journal does not tell."""
    sketch: str = ""
    """What `engine.sketch` says of its source."""
    island: int | None = None
    """The island that its parent was drawn from, where the sampler had islands."""
    status: ev.Status | None = None
    """None while its evaluation has not ended."""
    score: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    verified: float | None = None
    measurements: int = 0
    """How often it was measured in the stage that ranks."""
    spread: float | None = None
    """Standard deviation of the score over its measurements."""
    judge: float | None = None
    """The judge's mark from 0 to 1."""
    fitness: float | None = None
    """What it is ranked by under the settings of now, higher is better; None: it is not ranked."""
    stderr_blob: str = ""
    """What its last evaluation printed to stderr."""
    lesson: str = ""
    analyzed: bool = False
    expanded: int = 0
    """How often it was taken as a parent, rounds in flight included."""
    shown: int = 0
    """How often a design was shown it, as the parent or beside it."""
    pinned: bool = False
    pruned: bool = False
    starred: bool = False
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class NodeEvaluation:
    """The evaluation of a node, as far as it has come."""

    done: list[ev.EvalStageDone] = field(default_factory=list)
    running: ev.EvalStarted | None = None
    progress: ev.EvalProgress | None = None
    started_at: int = 0
    """When the repeat that is running began, in milliseconds."""
    rerun: int | None = None
    """Number of the measurement that a person asked for; None for a first evaluation."""


@dataclass(slots=True)
class RoleSpent:
    """What the calls of one role came to, those left out that cost nothing."""

    calls: int = 0
    usd: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class OpenRound:
    """A round that has not ended."""

    round: int
    worker: int
    started_at: int
    injected: ev.Injected | None = None
    """The program of a person that takes this round."""
    learned: ev.LearnDone | None = None
    rejected: list[ev.DesignRejected] = field(default_factory=list)
    node: int | None = None


class BestStep(NamedTuple):
    """One improvement of the best score."""

    seq: int
    at: int
    round: int
    node: int
    score: float


class RunState:
    """What a run has come to, after some prefix of its events."""

    def __init__(self) -> None:
        self.seq = 0
        """The last event folded in."""
        self.at = 0
        """Its time, in milliseconds."""
        self.started_at = 0
        self.start: ev.RunStarted | None = None
        self.spec: TaskSpec | None = None
        self.settings = Settings()
        self._settings_table: dict[str, Any] = {}
        self.status: RunStatus = "stopped"
        self.frozen = False
        """Paused at once: running evaluations stand still too."""
        self.reason = ""
        self.engine: ev.EngineStarted | None = None
        self.engine_ms = 0
        """Time in which an engine was at work and not paused, in milliseconds."""
        self.nodes: list[Node] = []
        self.rounds_started = 0
        self.rounds_done = 0
        """Rounds that ended, round 0 not counted."""
        self.no_design = 0
        self.open_rounds: dict[int, OpenRound] = {}
        self.evaluations: dict[int, NodeEvaluation] = {}
        """Nodes whose evaluation has not ended."""
        self.seeds_done = False
        self.best: int | None = None
        self.best_steps: list[BestStep] = []
        self.rounds_at_best = 0
        """Rounds that had ended when the best was crowned."""
        self.digests: dict[str, int] = {}
        """Normalised syntax tree to the first node that has it."""
        self.counts: dict[str, int] = {}
        """Nodes by status."""
        self.usd = 0.0
        self.tokens = 0
        self.spent: dict[str, RoleSpent] = {}
        """What the calls of each role came to."""
        self.last_call = 0
        """Number of the newest call."""
        self.calls: dict[int, Event] = {}
        """Calls that have not ended, by number: their `call.started`."""
        self.answered: dict[tuple[int | None, int | None, str], ev.CallDone] = {}
        """Calls of open rounds and of reruns that need not be made again, by round, node and key."""
        self.warned: dict[str, float] = {}
        """The largest share of each budget that was warned of."""
        self.rankings = 0
        """How often all nodes were ranked anew, so that what follows their order must look at all of them."""
        self.failed: dict[int, None] = {}
        """Nodes that failed and that nobody took up yet, oldest first."""
        self.pinned: dict[int, None] = {}
        """Nodes that are taken as parents before all others, in the order they were pinned."""
        self.injected: dict[int, ev.Injected] = {}
        """Programs of people that wait for a round, by position of their event."""
        self.hints: list[str] = []
        """What people told the designer, oldest first."""
        self.comments: list[str] = []
        """What people wrote about the run."""
        self.forked: ev.RunForked | None = None
        """Where this run left the one it is a copy of; the last time, if it is a copy of a copy."""
        self.forked_at = 0
        """When that was, in milliseconds."""
        self.priors_shown = False
        """Whether any design was shown a prior."""
        self.proposed: dict[str, ev.PriorProposed] = {}
        """Priors that the analyzer proposed and nobody has decided on."""
        self.prior_problems: list[str] = []
        """What is wrong with the cognition base or files of priors, as last reported."""
        self.task_changes: dict[str, str] = {}
        """How the task's folder differs from the recorded copy, as last reported."""

    @property
    def newest_hints(self) -> list[str]:
        """The hints that a design is shown, oldest first."""
        return self.hints[-_HINTS_SHOWN:]

    @property
    def best_node(self) -> Node | None:
        """The best node so far."""
        return None if self.best is None else self.nodes[self.best]

    def phase(self, round_: OpenRound) -> Phase:
        """The stage that an open round is in, or goes on with."""
        if round_.node is None:
            if round_.injected is not None:
                return "inject"
            return "learn" if round_.learned is None else "design"
        node = self.nodes[round_.node]
        if node.status is None:
            return "experiment"
        return "end" if node.analyzed else "analyze"

    def better(self, a: float, b: float) -> bool:
        """Whether score `a` is a gain over score `b`."""
        return self.spec.better(a, b) if self.spec is not None else a > b

    def fitness(self, node: int, score: float | None, metrics: dict[str, Any], judge: float | None) -> float | None:
        """What a node is, or would be, ranked by with these results; None: not at all."""
        if score is None:
            return None
        assert self.spec is not None
        metric = self.spec.metric
        measured = {**metrics, metric: score}
        seed = self.nodes[0]
        baseline = measured if node == 0 else {**seed.metrics, metric: seed.score}
        return fitness_of(self.settings.fitness, metric, self.spec.direction, measured, baseline, judge)

    def gained(self, node: int, other: int | None) -> bool:
        """Whether a node is ranked, and above another one by more than noise; any is above none."""
        return self.beats(self.nodes[node].fitness, other)

    def beats(self, fitness: float | None, other: int | None) -> bool:
        """Whether a fitness is above that of a node by more than noise."""
        before = None if other is None else self.nodes[other].fitness
        if fitness is None or before is None:
            return fitness is not None
        assert self.spec is not None
        return fitness - before > least_gain(self.settings.fitness, self.spec.min_gain)

    def fittest(self) -> Node | None:
        """The node that ranks highest of all, the earliest of equal ones; goes through all nodes."""
        ranked = (node for node in self.nodes if node.fitness is not None)
        return max(ranked, key=lambda node: (node.fitness, -node.id), default=None)

    def apply(self, event: Event) -> None:
        """Take one event in; events come in order of `seq`."""
        # The time between an engine's death and the next one's start, or a fork, is nobody's work.
        if self.status == "running" and not isinstance(event.data, ev.EngineStarted | ev.RunForked):
            self.engine_ms += max(0, event.at - self.at)
        self.seq = event.seq
        self.at = event.at
        handler = self._HANDLERS.get(event.data.KIND)
        if handler is not None:
            handler(self, event, event.data)

    # The run

    def _run_started(self, event: Event, data: ev.RunStarted) -> None:
        self.start = data
        self.started_at = event.at
        self.spec = msgspec.convert(data.spec, TaskSpec)
        self._settings_table = dict(data.settings)
        self.settings = msgspec.convert(data.settings, Settings)

    def _engine_started(self, event: Event, data: ev.EngineStarted) -> None:
        self.engine = data
        self.status = "running"
        self.reason = ""
        self.frozen = False
        for evaluation in self.evaluations.values():
            evaluation.running = None
            evaluation.progress = None

    def _paused(self, event: Event, data: ev.RunPaused) -> None:
        self.status = "paused"
        self.frozen = data.now
        self.reason = data.reason

    def _resumed(self, event: Event, data: ev.RunResumed) -> None:
        self.status = "running"
        self.frozen = False
        self.reason = ""

    def _ended(self, event: Event, data: ev.RunStopped | ev.RunFinished | ev.RunFailed) -> None:
        self.status = _END_STATUS[data.KIND]
        self.reason = data.reason
        self.frozen = False

    def _run_forked(self, event: Event, data: ev.RunForked) -> None:
        self.forked = data
        self.forked_at = event.at
        self.status = "stopped"
        self.frozen = False
        self.reason = f"forked from {data.parent} at {data.at_seq}"
        if not data.own_priors:
            # They wait in the base that both read, as the other run's.
            self.proposed = {}
        for evaluation in self.evaluations.values():
            evaluation.running = None
            evaluation.progress = None

    def _task_changed(self, event: Event, data: ev.TaskChanged) -> None:
        if not data.adopted:
            self.task_changes = data.files
            return
        assert self.start is not None
        self.task_changes = {}
        files = {path: blob for path, blob in (self.start.files | data.files).items() if blob != "removed"}
        self.start = msgspec.structs.replace(
            self.start,
            files=files,
            large_files=data.large_files,
            spec=data.spec,
            source=data.source,
            priors=data.priors,
        )
        self.spec = msgspec.convert(data.spec, TaskSpec)

    def _settings_changed(self, event: Event, data: ev.SettingsChanged) -> None:
        self._settings_table = deep_merge(self._settings_table, data.settings)
        # A raised budget is warned of anew.
        self.warned = {name: share for name, share in self.warned.items() if name not in data.settings}
        before, self.settings = self.settings.fitness, msgspec.convert(self._settings_table, Settings)
        if self.settings.fitness != before:
            self._rank_all()

    # Rounds

    def _round_started(self, event: Event, data: ev.RoundStarted) -> None:
        assert event.round is not None
        injected = self.injected.pop(data.injected, None) if data.injected is not None else None
        self.open_rounds[event.round] = OpenRound(event.round, data.worker, event.at, injected)
        self.rounds_started = max(self.rounds_started, event.round)

    def _round_ended(self, event: Event, data: ev.RoundEnded) -> None:
        assert event.round is not None
        self.open_rounds.pop(event.round, None)
        self._forget_answers(event.round)
        if event.round == 0:
            self.seeds_done = True
            return
        self.rounds_done += 1
        if data.outcome == "no_design":
            self.no_design += 1

    def _learned(self, event: Event, data: ev.LearnDone) -> None:
        self.nodes[data.parent].expanded += 1
        self.failed.pop(data.parent, None)
        for shown in {data.parent, *data.inspirations}:
            self.nodes[shown].shown += 1
        self.priors_shown = self.priors_shown or bool(data.priors)
        round_ = self.open_rounds.get(event.round or 0)
        if round_ is not None:
            round_.learned = data

    def _call_started(self, event: Event, data: ev.CallStarted) -> None:
        self.last_call = max(self.last_call, data.call)
        self.calls[data.call] = event

    def _call_done(self, event: Event, data: ev.CallDone) -> None:
        self.calls.pop(data.call, None)
        self.usd += data.usd
        self.tokens += data.tokens_in + data.tokens_out
        if data.tokens_in + data.tokens_out:
            spent = self.spent.setdefault(data.role, RoleSpent())
            spent.calls += 1
            spent.usd += data.usd
            spent.tokens += data.tokens_in + data.tokens_out
        if data.key and (not data.error or data.fault in REQUEST_KINDS):
            self.answered[event.round, event.node, data.key] = data

    def _forget_answers(self, round_: int | None, node: int | None = None) -> None:
        """What was answered for a round that is over, or for one node of it, is not asked for again."""
        for name in [name for name in self.answered if name[0] == round_ and node in (None, name[1])]:
            del self.answered[name]

    def _design_rejected(self, event: Event, data: ev.DesignRejected) -> None:
        round_ = self.open_rounds.get(event.round or 0)
        if round_ is not None:
            round_.rejected.append(data)

    def _designed(self, event: Event, data: ev.DesignDone) -> None:
        assert event.node == len(self.nodes), f"node {event.node} comes out of order"
        round_number = event.round or 0
        round_ = self.open_rounds.get(round_number)
        learned = None if round_ is None else round_.learned
        self.nodes.append(
            Node(
                id=event.node,
                round=round_number,
                parents=tuple(data.parents),
                program=data.program,
                operator=data.operator,
                name=data.name,
                motivation=data.motivation,
                priors=tuple(data.priors),
                designed_at=event.at,
                size=data.size,
                sketch=data.sketch,
                island=learned.island if learned is not None and data.parents[:1] == [learned.parent] else None,
            )
        )
        self.digests.setdefault(data.digest, event.node)
        self.evaluations[event.node] = NodeEvaluation()
        if round_ is not None:
            round_.node = event.node

    # Evaluations

    def _eval_started(self, event: Event, data: ev.EvalStarted) -> None:
        evaluation = self.evaluations.get(event.node or 0)
        if evaluation is not None:
            evaluation.running = data
            evaluation.progress = None
            evaluation.started_at = event.at

    def _eval_progress(self, event: Event, data: ev.EvalProgress) -> None:
        evaluation = self.evaluations.get(event.node or 0)
        if evaluation is not None:
            evaluation.progress = data

    def _eval_stage_done(self, event: Event, data: ev.EvalStageDone) -> None:
        evaluation = self.evaluations.get(event.node or 0)
        if evaluation is not None:
            evaluation.done.append(data)
            evaluation.running = None

    def _eval_done(self, event: Event, data: ev.EvalDone) -> None:
        assert event.node is not None
        node = self.nodes[event.node]
        if node.status is not None:
            self.counts[node.status] -= 1
        node.status = data.status
        node.score = data.score
        node.metrics = data.metrics
        node.reason = data.reason
        node.seconds = data.seconds
        node.verified = data.verified
        node.judge = data.judge
        node.measurements = data.measurements
        node.spread = data.spread
        evaluation = self.evaluations.pop(event.node, None)
        if evaluation is not None and evaluation.done:
            node.stderr_blob = evaluation.done[-1].stderr_blob
        self.counts[data.status] = self.counts.get(data.status, 0) + 1
        if node.id == 0 and self.settings.fitness.kind == "composite":
            # It is the baseline of all.
            self._rank_all()
        else:
            self._rank(node)
        self.failed.pop(node.id, None)
        if data.status in _MENDABLE and node.round and not node.expanded:
            self.failed[node.id] = None

    def _rank_all(self) -> None:
        self.rankings += 1
        for node in self.nodes:
            self._rank(node)

    def _rank(self, node: Node) -> None:
        node.fitness = self.fitness(node.id, node.score, node.metrics, node.judge)

    def _crowned(self, event: Event, data: ev.BestCrowned) -> None:
        assert event.node is not None
        self.best = event.node
        self.rounds_at_best = self.rounds_done
        self.best_steps.append(BestStep(event.seq, event.at, self.nodes[event.node].round, event.node, data.score))

    def _analyzed(self, event: Event, data: ev.AnalyzeDone) -> None:
        assert event.node is not None
        node = self.nodes[event.node]
        node.lesson = data.lesson
        node.analyzed = True
        # Of a rerun it is the end.
        if node.round not in self.open_rounds:
            self._forget_answers(node.round, node.id)

    def _warned(self, event: Event, data: ev.BudgetWarned) -> None:
        self.warned[data.budget] = data.share

    def _prior_proposed(self, event: Event, data: ev.PriorProposed) -> None:
        self.proposed[data.id] = data

    def _prior_decided(self, event: Event, data: ev.PriorAccepted | ev.PriorRejected) -> None:
        self.proposed.pop(data.id, None)

    def _prior_warned(self, event: Event, data: ev.PriorWarned) -> None:
        self.prior_problems = data.problems

    # What people do

    def _injected(self, event: Event, data: ev.Injected) -> None:
        if data.what == "hint":
            self.hints.append(data.text)
        else:
            self.injected[event.seq] = data

    def _pinned(self, event: Event, data: ev.NodePinned | ev.NodeUnpinned) -> None:
        assert event.node is not None
        self.nodes[event.node].pinned = isinstance(data, ev.NodePinned)
        self.pinned.pop(event.node, None)
        if isinstance(data, ev.NodePinned):
            self.pinned[event.node] = None

    def _pruned(self, event: Event, data: ev.NodePruned | ev.NodeRestored) -> None:
        assert event.node is not None
        self.nodes[event.node].pruned = isinstance(data, ev.NodePruned)

    def _starred(self, event: Event, data: ev.NodeStarred) -> None:
        assert event.node is not None
        self.nodes[event.node].starred = data.starred

    def _commented(self, event: Event, data: ev.NodeCommented) -> None:
        (self.comments if event.node is None else self.nodes[event.node].comments).append(data.text)

    def _rerun(self, event: Event, data: ev.NodeRerun) -> None:
        assert event.node is not None
        self.evaluations[event.node] = NodeEvaluation(rerun=data.repeat)
        self._forget_answers(event.round, event.node)

    _HANDLERS: ClassVar[dict[str, Callable[[RunState, Event, Any], None]]] = {
        ev.RunStarted.KIND: _run_started,
        ev.EngineStarted.KIND: _engine_started,
        ev.RunPaused.KIND: _paused,
        ev.RunResumed.KIND: _resumed,
        ev.RunStopped.KIND: _ended,
        ev.RunFinished.KIND: _ended,
        ev.RunFailed.KIND: _ended,
        ev.RunForked.KIND: _run_forked,
        ev.SettingsChanged.KIND: _settings_changed,
        ev.TaskChanged.KIND: _task_changed,
        ev.RoundStarted.KIND: _round_started,
        ev.RoundEnded.KIND: _round_ended,
        ev.LearnDone.KIND: _learned,
        ev.CallStarted.KIND: _call_started,
        ev.CallDone.KIND: _call_done,
        ev.DesignRejected.KIND: _design_rejected,
        ev.DesignDone.KIND: _designed,
        ev.EvalStarted.KIND: _eval_started,
        ev.EvalProgress.KIND: _eval_progress,
        ev.EvalStageDone.KIND: _eval_stage_done,
        ev.EvalDone.KIND: _eval_done,
        ev.BestCrowned.KIND: _crowned,
        ev.AnalyzeDone.KIND: _analyzed,
        ev.BudgetWarned.KIND: _warned,
        ev.PriorProposed.KIND: _prior_proposed,
        ev.PriorAccepted.KIND: _prior_decided,
        ev.PriorRejected.KIND: _prior_decided,
        ev.PriorWarned.KIND: _prior_warned,
        ev.Injected.KIND: _injected,
        ev.NodePinned.KIND: _pinned,
        ev.NodeUnpinned.KIND: _pinned,
        ev.NodePruned.KIND: _pruned,
        ev.NodeRestored.KIND: _pruned,
        ev.NodeStarred.KIND: _starred,
        ev.NodeCommented.KIND: _commented,
        ev.NodeRerun.KIND: _rerun,
    }


_END_STATUS: dict[str, RunStatus] = {
    ev.RunStopped.KIND: "stopped",
    ev.RunFinished.KIND: "finished",
    ev.RunFailed.KIND: "failed",
}
