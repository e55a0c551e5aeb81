"""What a designer is: it writes candidate programs from what a round has learned."""

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
    """The designer has nothing to offer for this request; the message says why.

    Attributes:
        check: `designer`; `answer` where a model's answer could not be used; `static` for a program that cannot run.
    """

    def __init__(self, message: str, check: str = "designer") -> None:
        super().__init__(message)
        self.check = check


class NothingToDesign(DesignerError):
    """Nothing new can come of any node of the run until something is added to it; the message says what was tried.

    A designer raises it only where it is certain: all programs that it could make of the nodes and priors that there
    are have been made. To ask again, of another parent or in another round, is in vain. A designer that has nothing to
    offer for one request raises a plain `DesignerError`.
    """


@dataclass(frozen=True)
class Design:
    """A candidate program, not yet checked."""

    code: str
    operator: str
    """How it was made: `tune`, `swap`, `exchange`, `drop`, or the mode in which a model wrote it."""
    name: str
    """A few words for lists."""
    motivation: str
    """Why it may be better: one or two sentences."""
    parents: list[int]
    priors: list[str] = field(default_factory=list)
    """Ids of the priors whose recipes went into it."""
    credit: dict[str, str] = field(default_factory=dict)
    """Recorded with the node and handed back through the journal, so that the designer can learn from the outcome."""


class Designer(Protocol):
    """Writes candidates. Its memory is a fold of the journal, so that resume and replay need nothing else."""

    name: str
    modes: tuple[Mode, ...]
    """The ways of writing that it offers."""
    reads_hints: bool
    """Whether it is told by what people say; if not, their words only steer which priors it is shown."""

    def apply(self, event: Event) -> None:
        """Take note of an event; called for every event of the run in order, live and on resume."""

    async def design(self, request: DesignRequest) -> Design:
        """Write one candidate.

        Raises:
            NothingToDesign: there is nothing to offer, nor will be for any other request as things are.
            DesignerError: there is nothing to offer for this request.
        """

    async def aclose(self) -> None:
        """End what the designer started."""
