"""RunState: the fold of a run's events, which `engine.state.fold` makes.

The engine folds to sample and to resume, the terminal folds live, replay folds a prefix, export folds all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import DamagedJournal
from engine.journal import events as ev
from engine.journal.events import Event
from engine.settings.fitness import fitness_of, least_gain
from engine.settings.model import Settings
from engine.state.node import BestStep, Node, NodeEvaluation, OpenRound, Phase, RoleSpent, RunStatus
from engine.state.ranking import Ranking
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
        """The settings as plain data, only what was said."""
        self.status: RunStatus = "stopped"
        self.frozen = False
        """Paused at once: running evaluations stand still too."""
        self.waits_for_person = False
        """Paused since nothing can be designed: it does not go on by itself."""
        self.reason = ""
        self.interrupted = False
        """Whether SIGINT (Ctrl-C) ended the run."""
        self.engine: ev.EngineStarted | None = None
        self.engine_gone = False
        """Whether it is known that the engine left without a word; people may have written since."""
        self.engine_ms = 0
        """Time in which an engine was at work and not paused, in milliseconds."""
        self.nodes: list[Node] = []
        self.rounds_started = 0
        self.rounds_done = 0
        """Rounds that ended, round 0 not counted."""
        self.no_design = 0
        """Rounds that ended without a design."""
        self.without_design = 0
        """How many of them ended one after the other since anything changed that designs depend on."""
        self.exhausted = ""
        """Why the designer of the last of these is certain that no other gets one; empty while it is not."""
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        """How often designs were refused since the last that was not: by check and kind of reason; the newest words."""
        self.open_rounds: dict[int, OpenRound] = {}
        self.evaluations: dict[int, NodeEvaluation] = {}
        """Nodes whose evaluation has not ended."""
        self.seeds_done = False
        self.best: int | None = None
        self.best_steps: list[BestStep] = []
        self.rounds_at_best = 0
        """Rounds that were done when the best was crowned, its own among them."""
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
        self.priors_recalled = False
        """Whether the run began with what came of priors in earlier ones."""
        self.priors_shown = False
        """Whether any design was shown a prior."""
        self.prior_revisions: dict[str, str] = {}
        """Revision of every prior that was shown or told of, as last recorded; empty for one that was taken away."""
        self.proposed: dict[str, ev.PriorProposed] = {}
        """Priors that the analyzer proposed and nobody has decided on."""
        self.proposed_titles: set[str] = set()
        """Titles of all that were ever proposed."""
        self.prior_problems: list[str] = []
        """What is wrong with the cognition base or files of priors, as last reported."""
        self.task_changes: dict[str, str] = {}
        """How the task's folder differs from the recorded copy, as last reported."""

    @property
    def secret(self) -> str:
        """Commitment of the secret that seeds of data follow from; empty where they follow from a known number."""
        taken_up = self.engine.secret if self.engine is not None else ""
        return taken_up or self.start.secret

    @property
    def seed_known(self) -> bool:
        """Whether the data that programs are judged on follow from a number that anybody may know."""
        return self.settings.data_seed is not None or not self.secret

    @property
    def newest_hints(self) -> list[str]:
        """The hints that a design is shown, oldest first."""
        return self.hints[-_HINTS_SHOWN:]

    @property
    def best_node(self) -> Node | None:
        """The best node so far."""
        return None if self.best is None else self.nodes[self.best]

    @property
    def ranking(self) -> Ranking:
        """What nodes are ranked by under the settings of now."""
        return Ranking(self.spec.metric, self.spec.direction, not self.settings.fitness.is_score)

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

    def fitness(self, node: int, score: float | None, metrics: dict[str, Any], judge: float | None) -> float | None:
        """What a node is, or would be, ranked by with these results; None: not at all."""
        if score is None:
            return None
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
        return self.exceeds(fitness, None if other is None else self.nodes[other].fitness)

    def exceeds(self, fitness: float | None, before: float | None) -> bool:
        """Whether a fitness is above another one by more than noise; any is above none."""
        if fitness is None or before is None:
            return fitness is not None
        return fitness - before > self.noise

    @property
    def noise(self) -> float:
        """The difference in fitness up to which two nodes count as equal."""
        return least_gain(self.settings.fitness, self.spec.min_gain)

    def fittest(self) -> Node | None:
        """The node that ranks highest of all, the earliest of equal ones; goes through all nodes."""
        ranked = (node for node in self.nodes if node.fitness is not None)
        return max(ranked, key=lambda node: (node.fitness, -node.id), default=None)
