"""What the prompts of a run are built from: the task's templates and its brief."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.llm.prompts import Prompts

__all__ = ["TaskPrompts"]


class TaskPrompts:
    """Hold what all prompts of a run have in common.

    Args:
        folder: the task's own templates, which take the place of ours; it may be missing.
        brief: the problem statement that a model reads.
    """

    def __init__(self, folder: Path, brief: str) -> None:
        self._folder = folder
        self.brief = brief

    @cached_property
    def templates(self) -> Prompts:
        """The templates; read at first use, since runs without a model need none."""
        from engine.llm.prompts import Prompts

        return Prompts(self._folder)
