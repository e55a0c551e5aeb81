"""The interface of designers, which write candidate programs from the context of a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from engine.journal.events import Event
from engine.llm.requests import DesignRequest, Mode

__all__ = [
    "Design",
    "Designer",
    "DesignerError",
    "NothingToDesign",
]


class DesignerError(Exception):
    """The designer has no design for this request; the message says why.

    Attributes:
        check: `designer`; `answer` if a model's answer could not be used; `static` for a program that cannot run.
    """

    def __init__(self, message: str, check: str = "designer") -> None:
        super().__init__(message)
        self.check = check


class NothingToDesign(DesignerError):
    """No new program can be made from any node of the run until something is added; the message says what was tried.

    A designer raises it only if it is certain: it has made all programs that the existing nodes and priors allow.
    Another request, with another parent or in another round, cannot succeed. A designer that has no design for one
    request raises a plain `DesignerError`.
    """


@dataclass(frozen=True)
class Design:
    """A candidate program, not yet checked."""

    code: str
    operator: str
    """How it was made: `tune`, `swap`, `exchange`, `drop`, or the mode used by a model."""
    name: str
    """A short name for lists."""
    motivation: str
    """Why it may be better: one or two sentences."""
    parents: list[int]
    priors: list[str] = field(default_factory=list)
    """Ids of the priors whose recipes it uses."""
    credit: dict[str, str] = field(default_factory=dict)
    """Recorded with the node and returned through the journal, so that the designer can learn from the outcome."""


class Designer(Protocol):
    """Write candidates. Its memory is a fold of the journal, so that resume and replay need nothing else."""

    name: str
    modes: tuple[Mode, ...]
    """The supported modes."""
    reads_hints: bool
    """Whether people's hints are part of its input; if not, they only affect which priors it gets."""

    def apply(self, event: Event) -> None:
        """Process an event; called for every event of the run in order, live and on resume."""

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate.

        Raises:
            NothingToDesign: there is no design for this or any other request until something is added to the run.
            DesignerError: there is no design for this request.
        """

    async def aclose(self) -> None:
        """End the designer's processes."""
