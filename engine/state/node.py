"""The parts of a run's state: candidate programs, their evaluations, rounds in flight."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import msgspec

from engine.journal import events as ev
from engine.state.bandit import Credit

__all__ = ["BestStep", "FrontStep", "Node", "NodeEvaluation", "Novelty", "OpenRound", "Pairs", "Phase", "ProbeRecord"]
__all__ += ["RoleSpent", "RunStatus", "Standstill", "Submitted", "Verification"]

RunStatus = Literal["running", "paused", "finished", "stopped", "failed"]
Phase = Literal["inject", "learn", "design", "experiment", "analyze", "end"]


class Node(msgspec.Struct, gc=False):
    """One candidate program with its results. It holds no reference that leads back to it."""

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
    """Bytes of its source; 0 if the journal does not say."""
    sketch: str = ""
    """Sketch of its source, by `engine.programs.minhash`."""
    model: str = ""
    """The model that wrote it, by its name under `models` of the settings; empty if none did."""
    island: int | None = None
    """The island that its parent was drawn from; None if the sampler had no islands."""
    status: ev.Status | None = None
    """None while its evaluation has not ended."""
    score: float | None = None
    metrics: dict[str, Any] = {}
    reason: str = ""
    seconds: float = 0.0
    verified: float | None = None
    """Its score in the last promotion stage that it passed."""
    check: ev.VerifyDone | None = None
    """Whether its gain over another node is confirmed; None if that was never checked."""
    asked: ev.VerifyDone | None = None
    """Result of the newest verification that a person asked for."""
    cap: float | None = None
    """Upper bound on the fitness that it is sampled by, if fresh data do not show its gain or it breaks a constraint;
    None: no bound."""
    measurements: int = 0
    """How often it was measured in the stage that ranks."""
    spread: float | None = None
    """Standard deviation of the score over its measurements."""
    judge: float | None = None
    """The judge's mark from 0 to 1."""
    fitness: float | None = None
    """The value that ranks it under the current settings, higher is better; None: it is not ranked."""
    broken: str = ""
    """Which constraints of the current settings it breaks, with its values and the bounds; empty if all hold."""
    point: tuple[float, ...] | None = None
    """Its place in the space of objectives, by `engine.settings.fitness.point_of`; None if there are none."""
    front: int | None = None
    """Rank of its front, 1 for what nothing dominates; None behind the last that is kept, and if nothing is a front."""
    hypervolume: float | None = None
    """The hypervolume of the first front after it came; None if it did not raise that."""
    machine: str = ""
    """Fingerprint of the machine of its last evaluation, as in `machine.seen`; empty for the engine's own."""
    host: str = ""
    """That machine's name."""
    stderr_blob: str = ""
    """Stderr of its last evaluation."""
    picture_blob: str = ""
    """What the evaluator drew, at the last measurement; empty if it drew nothing."""
    given_blob: str = ""
    """The construction that its program is handed to improve; empty if there was none."""
    construction_blob: str = ""
    """What its program constructed, if the task's kind is `improve`."""
    feedback_blob: str = ""
    """Text that its evaluator returned in the last evaluation."""
    lesson: str = ""
    causes: tuple[str, ...] = ()
    """Causes of its result, as a model reported them, the most important first."""
    next_step: str = ""
    """The change that a model's report thinks most worth trying next."""
    same_as: int | None = None
    """The earliest node of its line that gave the very same metrics to the last digit, if its parent did."""
    taken_from: int | None = None
    """The node whose score it has, since it behaves the same in the task's probe; None if it was measured."""
    analyzed: bool = False
    expanded: int = 0
    """How often it was taken as a parent, including rounds in flight."""
    shown: int = 0
    """How often it was shown to a design, as the parent or an inspiration."""
    pinned: bool = False
    pruned: bool = False
    starred: bool = False
    comments: tuple[str, ...] = ()

    @property
    def doubted(self) -> bool:
        """Whether its gain is not confirmed, so that it is not crowned, whatever its score."""
        return self.check is not None and self.check.outcome != "confirmed"

    @property
    def quarantined(self) -> bool:
        """Whether fresh data did not show its gain."""
        return self.check is not None and self.check.outcome == "quarantined"

    @property
    def eligible(self) -> bool:
        """Whether it may be the best: it is ranked by its own score, breaks no constraint, and its gain is not
        doubted."""
        return self.fitness is not None and not self.broken and not self.doubted and self.taken_from is None

    @property
    def standing(self) -> float | None:
        """The fitness that it is sampled and credited by; None: it is not ranked.

        It is lower in quarantine. A node that breaks a constraint stands below all that break none, the lower the more
        it exceeds (Deb, "An efficient constraint handling method for genetic algorithms", 2000).
        """
        if self.cap is None or self.fitness is None:
            return self.fitness
        return None if self.cap == -math.inf else min(self.fitness, self.cap)


class NodeEvaluation(msgspec.Struct):
    """The evaluation of a node so far."""

    done: list[ev.EvalStageDone] = []
    running: ev.EvalStarted | None = None
    progress: ev.EvalProgress | None = None
    host: str = ""
    """The machine that the running repeat is on; empty for the engine's own, or while it is not known."""
    started_at: int = 0
    """When the running repeat began, in milliseconds."""
    rerun: int | None = None
    """Number of the measurement that a person asked for; None for a first evaluation."""
    on: str = ""
    """The machine that it shall run on; empty for any."""


class Submitted(msgspec.Struct):
    """The last attempt at an evaluation whose outcome is not recorded."""

    key: str
    attempt: int
    handle: str = ""
    host: str = ""
    avoid: tuple[str, ...] = ()
    """Machines that lost an attempt."""
    executor: str = ""
    """Where it was submitted to, such as `slurm`."""


class Verification(msgspec.Struct):
    """A verification on fresh data that has not ended."""

    started: ev.VerifyStarted
    measured: list[ev.VerifyMeasured] = []


class Standstill(msgspec.Struct):
    """The pace of a run's gains, and what it does about a standstill; `engine.state.standstill` folds it."""

    evaluations: int = 0
    """Designs that were measured, seeds left out."""
    mark: float | None = None
    """Fitness of the best at the last gain that counted; None before the first score."""
    first: float | None = None
    """Fitness of the first best."""
    marked_at: int = 0
    """How many designs had been measured then."""
    gaps: list[int] = []
    """Evaluations that each of the last gains took, oldest first."""
    spread: float = 0.0
    """Standard deviation of the seed's measurements, in what ranks."""
    began: ev.StandstillBegan | None = None
    """The standstill that the run is in; None if it is in none, or if that was not recorded."""
    acted: ev.StandstillActed | None = None
    """What is in force against it."""
    acted_round: int = 0
    """The newest round when that began."""
    actions: int = 0
    """How often an action began."""
    restarted: list[int] = []
    """Nodes that the run was restarted from, and what was made from them since."""
    credits: dict[str, Credit] = {}
    """What each action brought."""

    @property
    def waited(self) -> int:
        """Evaluations since the last gain that counted."""
        return self.evaluations - self.marked_at


class Pairs(msgspec.Struct):
    """Pairs of programs that are alike, by how much: those that behaved the same, and the others."""

    same: list[int]
    other: list[int]

    @classmethod
    def empty(cls, bins: int) -> Pairs:
        """Return no pair in so many bins."""
        return cls([0] * bins, [0] * bins)


class Novelty(msgspec.Struct):
    """What the run has learned of programs that are alike; `engine.state.novelty` folds it."""

    pairs: dict[str, Pairs] = {}
    """By kind of difference."""
    waiting: dict[int, list[ev.Near]] = {}
    """By node that is not measured yet, those that it resembles."""
    refused: int = 0
    """Designs that were refused because they are near."""


class ProbeRecord(msgspec.Struct):
    """What nodes returned in the task's probe."""

    first: dict[bytes, int] = {}
    """By what was returned, the first node that did and whose evaluation ended, be it by failing."""
    waiting: dict[int, bytes] = {}
    """By node that is not measured yet."""
    right: int = 0
    """Measured nodes that behave as another one with the same probe does."""
    wrong: int = 0
    """Those that do not."""
    taken: int = 0
    """Nodes that got the score of another one."""
    held: dict[int, None] = {}
    """Those that still have it, since they were not measured."""


class RoleSpent(msgspec.Struct):
    """Sums over the calls of one role that used tokens."""

    calls: int = 0
    usd: float = 0.0
    tokens: int = 0


class OpenRound(msgspec.Struct):
    """A round that has not ended."""

    round: int
    worker: int
    started_at: int
    injected: ev.Injected | None = None
    """The injected program that this round measures."""
    learned: ev.LearnDone | None = None
    rejected: list[ev.DesignRejected] = []
    node: int | None = None


class BestStep(NamedTuple):
    """One new best."""

    seq: int
    at: int
    round: int
    node: int
    score: float
    """Its score when it was crowned."""
    fitness: float | None = None
    """Its fitness when it was crowned, or when all nodes were ranked anew after that."""


class FrontStep(NamedTuple):
    """One rise of the first front's hypervolume."""

    node: int
    hypervolume: float
