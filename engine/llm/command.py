"""A command that designs, as a designer and the loop see it: what it is given, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.llm.messages import Role

__all__ = ["Command", "Left", "ReadProgram"]


@dataclass(frozen=True)
class Left:
    """What a command left in its folder."""

    code: str
    """The program; empty if there is a problem."""
    notes: str
    """What it says of it."""
    problem: str
    """Why it left no program, one line; empty if it did."""
    check: str = "answer"
    """As in `design.rejected`; `designer` if the command could not be run at all."""


ReadProgram = Callable[[Mapping[str, bytes]], str]
"""Returns the program in the files that a command left in `program/`, by path; raises ProgramError if there is none."""


class Command(Protocol):
    """Run the command of the settings on behalf of one round."""

    async def __call__(
        self, role: Role, files: Mapping[str, bytes], read: ReadProgram, most_bytes: int, seed: int, *, key: str
    ) -> Left:
        """Run it in a folder of its own, and return what it leaves.

        Args:
            role: what the call counts as.
            files: what the folder holds, by path.
            read: makes a program of what it leaves in `program/`.
            most_bytes: most bytes of all files that it leaves there.
            seed: for its random numbers.
            key: names the call within its round, such as `design/0`; after a resume the same key returns what was
                recorded, and nothing is run.

        Raises:
            Stopping: the engine is ending; the call is repeated at the next start.
        """
