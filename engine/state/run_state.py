"""RunState: the fold of a run's events, which `engine.state.fold` makes.

The engine folds to sample and to resume, the terminal folds live, replay folds a prefix, export folds all.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import msgspec

from engine.errors import DamagedJournal
from engine.journal import events as ev
from engine.journal.events import Event
from engine.settings.constraints import Breach, breach_of
from engine.settings.fitness import fitness_of, least_gain, point_of
from engine.settings.model import Settings
from engine.state.attempts import Attempts
from engine.state.bandit import DesignRecord
from engine.state.model_record import ModelRecord
from engine.state.node import (
    BestStep,
    FrontStep,
    Node,
    NodeEvaluation,
    Novelty,
    OpenRound,
    Phase,
    ProbeRecord,
    RoleSpent,
    RunStatus,
    Standstill,
    Submitted,
    Verification,
)  # fmt: skip
from engine.state.ranking import Ranking
from engine.state.undo_record import Act
from engine.task.spec import TaskSpec

__all__ = ["ENDED", "RunState"]

ENDED: tuple[RunStatus, ...] = ("finished", "stopped", "failed")

_HINTS_SHOWN = 5


class RunState:
    """A run after some prefix of its events.

    Args:
        first: the event that starts the run.

    Raises:
        DamagedJournal: it is another event, or holds a task or settings that cannot be.
    """

    def __init__(self, first: Event) -> None:
        if not isinstance(first.data, ev.RunStarted):
            raise DamagedJournal(f"{first.data.KIND} stands before run.started", first.seq)
        self.seq = first.seq
        """The last event folded in."""
        self.at = first.at
        """Its time, in milliseconds."""
        self.started_at = first.at
        self.start = first.data
        try:
            self.spec = msgspec.convert(first.data.spec, TaskSpec)
            self.settings = msgspec.convert(first.data.settings, Settings)
        except msgspec.ValidationError as exc:
            raise DamagedJournal(f"{first.data.KIND}: {exc}", first.seq) from None
        self.settings_table: dict[str, Any] = dict(first.data.settings)
        """The settings as plain data, only those that were given."""
        self.warm: list[ev.WarmProgram] = []
        """Programs of other runs that are in round 0 beside the seeds."""
        self.status: RunStatus = "stopped"
        self.frozen = False
        """Whether the run is paused at once: running evaluations stand still, too."""
        self.waits_for_person = False
        """Whether it is paused because nothing can be designed: it does not go on by itself."""
        self.reason = ""
        self.armed: ev.PauseArmed | None = None
        """The pause that a person asked for at a later moment."""
        self.armed_seq = 0
        """The event that asked for it."""
        self.interrupted = False
        """Whether SIGINT (Ctrl-C) ended the run."""
        self.engine: ev.EngineStarted | None = None
        self.engine_gone = False
        """Whether the engine is known to have died without recording its end; commands may have been recorded since."""
        self.engine_ms = 0
        """Time that an engine worked and was not paused, in milliseconds."""
        self.nodes: list[Node] = []
        self.rounds_started = 0
        self.rounds_done = 0
        """Rounds that ended, without round 0."""
        self.no_design = 0
        """Rounds that ended without a design."""
        self.without_design = 0
        """How many of them ended in a row since the last change that designs depend on."""
        self.exhausted = ""
        """Why the designer of the last of these is certain that no design is possible; empty if it is not."""
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        """Refusals since the last accepted design, by check and kind of reason: how many, and the newest reason."""
        self.open_rounds: dict[int, OpenRound] = {}
        self.evaluations: dict[int, NodeEvaluation] = {}
        """Nodes whose evaluation has not ended."""
        self.verifications: dict[int, Verification] = {}
        """By node, the verifications that have not ended."""
        self.draws = 0
        """The highest number that a fresh draw of data has taken."""
        self.seeds_done = False
        self.best: int | None = None
        self.best_steps: list[BestStep] = []
        self.rounds_at_best = 0
        """Rounds done when the best was crowned, including its own; of several objectives also when the hypervolume
        rose."""
        self.fronts: list[tuple[int, ...]] = []
        """Nodes that nothing dominates, then those that only these dominate, and so on; empty if nothing is a front."""
        self.hypervolume = 0.0
        """Volume that the first front dominates above the reference point."""
        self.front_steps: list[FrontStep] = []
        """Every rise of it."""
        self.standstill = Standstill()
        """The pace of its gains, and what it does if there are none."""
        self.novelty = Novelty()
        """How often programs that are alike behave the same."""
        self.probes = ProbeRecord()
        """What nodes returned in the task's probe."""
        self.submitted: dict[str, Submitted] = {}
        """By the evaluation's name, the last attempts whose outcomes are not recorded."""
        self.losses: dict[str, int] = {}
        """By the name of a machine, the attempts that were lost on it."""
        self.measured: dict[str, int] = {}
        """By the name of a machine of a cluster, the evaluations whose results came from it."""
        self.cluster: dict[str, ev.ClusterMachine] = {}
        """By name, the machines of the cluster that the engine uses; empty if it uses its own alone."""
        self.machines: dict[str, ev.MachineSeen] = {}
        """By fingerprint, what is known of the machines that measured."""
        self.digests: dict[str, int] = {}
        """Normalised syntax tree, with names and without, to the first node that has it."""
        self.counts: dict[str, int] = {}
        """Nodes by status."""
        self.ranked: list[float] = []
        """Fitness of all nodes that have one and break no constraint, ascending."""
        self.attempts: dict[int, Attempts] = {}
        """Results of the designs made from each node."""
        self.usd = 0.0
        self.tokens = 0
        self.spent: dict[str, RoleSpent] = {}
        """Sums over the calls of each role."""
        self.in_vain: dict[str, int] = {}
        """How often models' tries, answers and designs came to nothing, by kind; see `engine.state.trouble`."""
        self.last_call = 0
        """Number of the newest call."""
        self.calls: dict[int, Event] = {}
        """Calls that have not ended, by number: their `call.started`."""
        self.told: dict[int, ev.CallTold] = {}
        """By number of a call that has not ended, what its command said last that it cost."""
        self.answered: dict[tuple[int | None, int | None, str], ev.CallDone] = {}
        """Answered calls of open rounds and of reruns, by round, node and key; they are not made again."""
        self.models: dict[str, ModelRecord] = {}
        """What each model has shown, by its name under `models` of the settings."""
        self.modes: dict[str, DesignRecord] = {}
        """What each way of writing has brought."""
        self.warned: dict[str, float] = {}
        """The largest share of each budget that a warning was issued for."""
        self.rankings = 0
        """How often all nodes were ranked anew; whoever follows their order must then read all of them."""
        self.failed: dict[int, None] = {}
        """Nodes that failed and that no design has tried to fix, oldest first."""
        self.pinned: dict[int, None] = {}
        """Nodes that are taken as parents first, in the order they were pinned."""
        self.injected: dict[int, ev.Injected] = {}
        """Injected programs that wait for a round, by position of their event."""
        self.hints: list[str] = []
        """Hints of people for the designer, oldest first."""
        self.comments: list[str] = []
        """Comments of people on the run."""
        self.acts: list[Act] = []
        """Acts of people that can be taken back, oldest first."""
        self.recent_acts: list[tuple[Event, Any]] = []
        """Events of acts since the last answer, each with what stood there before."""
        self.forked: ev.RunForked | None = None
        """The fork that made this run; the last one, if it is a fork of a fork."""
        self.forked_at = 0
        """When that was, in milliseconds."""
        self.priors_recalled = False
        """Whether the run began with the outcomes of priors in earlier runs."""
        self.priors_shown = False
        """Whether any design was shown a prior."""
        self.prior_revisions: dict[str, str] = {}
        """Newest recorded revision of every prior that was shown or changed; empty for a removed one."""
        self.proposed: dict[str, ev.PriorProposed] = {}
        """Priors that the analyzer proposed and that wait for a decision."""
        self.proposed_titles: set[str] = set()
        """Titles of all priors that were ever proposed."""
        self.prior_problems: list[str] = []
        """Problems with the cognition base or files of priors, as last reported."""
        self.task_changes: dict[str, str] = {}
        """Differences of the task's folder from the recorded copy, as last reported."""

    @property
    def secret(self) -> str:
        """Commitment of the secret that data seeds are derived from; empty if they are derived from a known number."""
        taken_up = self.engine.secret if self.engine is not None else ""
        return taken_up or self.start.secret

    @property
    def seed_known(self) -> bool:
        """Whether the data that programs are judged on are derived from a public number."""
        return self.settings.data_seed is not None or not self.secret

    @property
    def newest_hints(self) -> list[str]:
        """The hints that are shown to a design, oldest first."""
        return self.hints[-_HINTS_SHOWN:]

    @property
    def best_node(self) -> Node | None:
        """The best node so far."""
        return None if self.best is None else self.nodes[self.best]

    @property
    def ranking(self) -> Ranking:
        """The ranking of nodes under the current settings."""
        return Ranking(self.spec.metric, self.spec.direction, not self.settings.fitness.is_score)

    def node(self, number: int | None) -> Node:
        """Return a node by its number.

        Raises:
            LookupError: there is none.
        """
        if number is None or not 0 <= number < len(self.nodes):
            raise LookupError(f"there is no node {number}")
        return self.nodes[number]

    def phase(self, round_: OpenRound) -> Phase:
        """Return the stage that an open round is in, or continues with."""
        if round_.node is None:
            if round_.injected is not None:
                return "inject"
            return "learn" if round_.learned is None else "design"
        node = self.nodes[round_.node]
        if node.status is None:
            return "experiment"
        return "end" if node.analyzed else "analyze"

    def fitness(self, node: int, score: float | None, metrics: dict[str, Any], judge: float | None) -> float | None:
        """Return the fitness of a node with these results; None if it would not be ranked."""
        if score is None:
            return None
        metric, settings = self.spec.metric, self.settings.fitness
        if settings.kind == "score":
            # Neither other metrics nor the baseline count.
            return fitness_of(settings, metric, self.spec.direction, {metric: score}, {}, judge)
        measured = {**metrics, metric: score}
        return fitness_of(settings, metric, self.spec.direction, measured, self._baseline(node, measured), judge)

    def point(self, node: int, score: float | None, metrics: dict[str, Any]) -> tuple[float, ...] | None:
        """Return the place of a node with these results among several objectives; None if it has none."""
        if score is None or self.settings.fitness.kind != "pareto":
            return None
        measured = {**metrics, self.spec.metric: score}
        return point_of(self.settings.fitness, measured, self._baseline(node, measured))

    def _baseline(self, node: int, measured: dict[str, Any]) -> dict[str, Any]:
        seed = self.nodes[0]
        return measured if node == 0 else {**seed.metrics, self.spec.metric: seed.score}

    def measured_fitness(self, score: float | None, metrics: dict[str, Any], judge: float | None) -> float | None:
        """Return the fitness of one measurement against node 0 as recorded, node 0 too; None if it is not ranked."""
        if score is None:
            return None
        metric, seed = self.spec.metric, self.nodes[0]
        measured, baseline = {**metrics, metric: score}, {**seed.metrics, metric: seed.score}
        return fitness_of(self.settings.fitness, metric, self.spec.direction, measured, baseline, judge)

    def breach(
        self, node: int, score: float | None, metrics: dict[str, Any], require: dict[str, str] | None = None
    ) -> Breach | None:
        """Return which constraints a node with these results breaks; None if it breaks none, or has no score.

        Args:
            node: the node.
            score: its score.
            metrics: its metrics.
            require: the constraints by name of their metric; by default those of the settings.
        """
        require = self.settings.fitness.require if require is None else require
        if score is None or not require:
            return None
        metric, parents = self.spec.metric, self.nodes[node].parents
        parent, seed = self.nodes[parents[0]] if parents else None, self.nodes[0]
        before = {} if parent is None else {**parent.metrics, metric: parent.score}
        first = {} if node == 0 else {**seed.metrics, metric: seed.score}
        return breach_of(require, {**metrics, metric: score}, before, first)

    def rank(self, node: int) -> int | None:
        """Return the rank of a node, 1 for the best; None if it is not ranked, or breaks a constraint."""
        fitness = None if self.nodes[node].broken else self.nodes[node].fitness
        return None if fitness is None else len(self.ranked) - bisect_right(self.ranked, fitness) + 1

    def gained(self, node: int, other: int | None) -> bool:
        """Return whether a node ranks above another one by more than noise; any ranked node is above none.

        Of several objectives a node that raised the hypervolume has gained, whatever its parent is.
        """
        found = self.nodes[node]
        return found.hypervolume is not None or self.beats(found.standing, other)

    def beats(self, fitness: float | None, other: int | None) -> bool:
        """Return whether a fitness is above that of a node by more than noise."""
        node = None if other is None else self.nodes[other]
        return self.exceeds(fitness, None if node is None else node.standing if node.broken else node.fitness)

    def exceeds(self, fitness: float | None, before: float | None) -> bool:
        """Return whether a fitness is above another one by more than noise; any is above none."""
        if fitness is None or before is None:
            return fitness is not None
        return fitness - before > self.noise

    @property
    def noise(self) -> float:
        """The difference in fitness up to which two nodes count as equal."""
        return least_gain(self.settings.fitness, self.spec.min_gain)

    def fittest(self) -> Node | None:
        """Return the highest ranked node that may be the best, the earliest among equals.

        It goes through all nodes.
        """
        ranked = (node for node in self.nodes if node.eligible)
        return max(ranked, key=lambda node: (node.fitness, -node.id), default=None)

    def next_best(self) -> Node | None:
        """Return the fittest node if it is above the best by more than noise, or if the best may not be it any more.

        It goes through all nodes.
        """
        node, best = self.fittest(), self.best_node
        falls = best is not None and not best.eligible
        return node if node is not None and (falls or self.beats(node.fitness, self.best)) else None
