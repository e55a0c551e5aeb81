"""What an analyzer says of a node."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Proposal", "Report"]


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
