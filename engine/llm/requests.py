"""Inputs of designers and analyzers; prompts are built from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cognition.prior import Prior
from engine.evaluation.curve import Point
from engine.llm.command import Command
from engine.llm.messages import Ask
from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.task.spec import TaskSpec

__all__ = ["ContextNode", "DesignRequest", "Facts", "Failed", "Mode", "Rejection", "Standing", "Tried"]

Mode = Literal["full", "diff", "crossover", "fix"]
"""How a design is written: from scratch, by editing the parent, with parts of other nodes, or by fixing a failure."""


@dataclass(frozen=True)
class ContextNode:
    """A node of the population, as shown to a designer."""

    id: int
    code: str
    status: str
    score: float | None
    lesson: str = ""
    motivation: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    """The reason if it has no score."""
    error: str = ""
    """The end of its evaluation's stderr, if it failed."""
    fitness: float | None = None
    """Higher is better; None if it is not ranked."""
    causes: tuple[str, ...] = ()
    """What made its result, as a model reported it."""
    next_step: str = ""
    """The change that the report thinks most worth trying next."""
    feedback: str = ""
    """What the evaluator said of it in words."""
    why: str = ""
    """Why it stands beside the parent; empty for the parent."""
    repeats_parent: bool = False
    """Whether it behaves the same as the parent, to the last digit."""
    broken: str = ""
    """Which constraints it breaks, so that it cannot be the best."""

    @property
    def told(self) -> str:
        """Return the report on it, else the reason why it was made; a few lines."""
        lines = [self.lesson or self.motivation]
        lines += [f"Causes: {'; '.join(self.causes)}"] if self.causes else []
        lines += [f"Worth trying next: {self.next_step}"] if self.next_step else []
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Tried:
    """A program that was made from the parent before."""

    name: str
    """The change in a few words."""
    outcome: str
    """Its score against the parent's, or why it has none."""


@dataclass(frozen=True)
class Failed:
    """Programs made from the parent that failed alike."""

    told: str
    """What happened to the newest of them."""
    count: int


@dataclass(frozen=True)
class Standing:
    """How far the search has come."""

    rank: int | None
    """The parent's place among all that are ranked, 1 for the best."""
    ranked: int
    """How many are ranked."""
    rounds: int
    """Rounds that are done."""
    rounds_since_best: int
    """How many of them ended since the best was found."""
    bests: tuple[tuple[int, float], ...] = ()
    """The best node and those that were it before, newest first, at most three: number and what it is ranked by."""
    target: float | None = None
    """The score at which the run finishes."""


@dataclass(frozen=True)
class Rejection:
    """An earlier attempt in the same round that failed a check."""

    check: str
    reason: str
    code: str


@dataclass(frozen=True)
class DesignRequest:
    """All inputs of one design attempt."""

    round: int
    attempt: int
    """Index from 0; increases with each rejected design of the round."""
    seed: int
    """Seed for `random.Random`: the same request gives the same design."""
    parent: ContextNode
    inspirations: list[ContextNode]
    priors: list[Prior]
    """The retrieved priors, best first."""
    all_priors: bool = False
    """Whether `priors` are known to be all priors of the run."""
    rejections: list[Rejection] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    mode: Mode = "diff"
    ask: Ask | None = None
    """Ask a model on behalf of the round; None if no model is configured."""
    command: Command | None = None
    """Run the command of the settings on behalf of the round; None if it does not design."""
    ranking: Ranking | None = None
    """What nodes are ranked by; None: by the task's score."""
    require: Mapping[str, str] = field(default_factory=dict)
    """Constraints by name of their metric: what breaks one cannot be the best."""
    objectives: Sequence[str] = ()
    """Objectives of a front, each with its direction; empty if nodes are ranked by one number."""
    modes: Sequence[Mode] = ("full", "diff", "crossover", "fix")
    """The modes that this run draws from."""
    best: ContextNode | None = None
    """The best node, without its code unless it is shown anyway."""
    origin: ContextNode | None = None
    """The node that a failed parent was made from; only to fix one."""
    tried: Sequence[Tried] = ()
    """The last programs made from the parent, oldest first."""
    failed: Sequence[Failed] = ()
    """Failures of programs made from the parent, by cause."""
    standing: Standing | None = None
    in_vain: Sequence[str] = ()
    """In a standstill, what was tried since the last gain, in groups; else empty."""
    returned: Sequence[str] = ()
    """Lines that were deleted on the way to the parent and came back since, with what came of it."""
    model: str = ""
    """The model that is to design; empty: it is drawn by weight."""


@dataclass(frozen=True)
class Facts:
    """All known facts about a node whose evaluation has ended."""

    spec: TaskSpec
    node: Node
    code: str
    parent: Node | None = None
    """Its parent; None for a seed."""
    parent_code: str = ""
    best: Node | None = None
    """The best node, this one included."""
    stdout: str = ""
    stderr: str = ""
    feedback: str = ""
    """What the evaluator said in words."""
    curve: Sequence[Point] = ()
    """Values that the evaluator reported while it ran."""
    proposed: frozenset[str] = frozenset()
    """Titles of priors proposed before, whether accepted or not."""
    ranking: Ranking | None = None
    """What nodes are ranked by; None: by the task's score."""
    noise: float | None = None
    """Gain up to which two nodes count as equal; None: the task's `min_gain`."""

    @property
    def ranked_by(self) -> Ranking:
        """Return what nodes are ranked by."""
        return self.ranking or Ranking(self.spec.metric, self.spec.direction)

    @property
    def least_gain(self) -> float:
        """Return the difference up to which two nodes count as equal."""
        return self.spec.min_gain if self.noise is None else self.noise
