"""What an analyzer looks at and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.evaluation.curve import Point
from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.task.spec import TaskSpec

__all__ = ["Facts", "Proposal", "Report"]


@dataclass(frozen=True)
class Facts:
    """All that is known of a node whose evaluation has ended."""

    spec: TaskSpec
    node: Node
    code: str
    parent: Node | None = None
    """The node it was made from; None for a seed."""
    parent_code: str = ""
    best: Node | None = None
    """The best node before or with this one."""
    stdout: str = ""
    stderr: str = ""
    curve: Sequence[Point] = ()
    """What the evaluator reported while it ran."""
    proposed: frozenset[str] = frozenset()
    """Titles of priors that were proposed before, whatever was decided on them."""
    ranking: Ranking | None = None
    """What nodes are ranked by; None: by the task's score."""
    noise: float | None = None
    """Up to which gain two nodes count as equal; None: as the task says of its score."""

    @property
    def ranked_by(self) -> Ranking:
        """What nodes are ranked by."""
        return self.ranking or Ranking(self.spec.metric, self.spec.direction)


@dataclass(frozen=True)
class Proposal:
    """A prior that an analyzer proposes; a person takes it into the cognition base, or does not."""

    title: str
    body: str
    """Markdown."""
    evidence: list[int] = field(default_factory=list)
    """The nodes it was learnt from."""


@dataclass(frozen=True)
class Report:
    """What the analyzer says of a node."""

    lesson: str
    """One line that later rounds read."""
    note: str
    """Markdown for people."""
    analyzer: str = "rules"
    """`rules`, or the configured name of the model that wrote it."""
    proposals: list[Proposal] = field(default_factory=list)
