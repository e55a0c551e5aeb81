"""Inputs of designers and analyzers; prompts are built from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cognition.prior import Prior
from engine.evaluation.curve import Point
from engine.llm.messages import Ask
from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.task.spec import TaskSpec

__all__ = ["ContextNode", "DesignRequest", "Facts", "Mode", "Rejection"]

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
    ranking: Ranking | None = None
    """What nodes are ranked by; None: by the task's score."""


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
