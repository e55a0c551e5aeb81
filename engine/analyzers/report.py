"""The report that an analyzer makes on a node."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Proposal", "Report"]


@dataclass(frozen=True)
class Proposal:
    """A prior that an analyzer proposes; a person accepts or rejects it."""

    title: str
    body: str
    """Markdown."""
    evidence: list[int] = field(default_factory=list)
    """The nodes that it was learnt from."""


@dataclass(frozen=True)
class Report:
    """An analyzer's report on a node."""

    lesson: str
    """One line that later rounds read."""
    note: str
    """Markdown for people."""
    analyzer: str = "rules"
    """`rules`, or the configured name of the model that wrote it."""
    proposals: list[Proposal] = field(default_factory=list)
    causes: tuple[str, ...] = ()
    """What made the result, the most important first; the rules name none."""
    next_step: str = ""
    """The change that is most worth trying next; the rules name none."""
