"""Have a command write candidates: it edits the parent in a folder that holds all that a model would be told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from engine.designers.base import Design, DesignerError
from engine.designers.command.folder import files_of, given_files, read_program
from engine.designers.naming import changes_named
from engine.evaluation.build import tree_of
from engine.journal.events import Event
from engine.llm.messages import Role
from engine.llm.prompts import Prompts
from engine.llm.requests import DesignRequest, Mode
from engine.settings.command import CommandSettings
from engine.task.spec import TaskSpec
from engine.text import one_line

__all__ = ["CommandDesigner"]

_MOST_OF_A_NAME = 120
_SPARE_BYTES = 1 << 16
"""Of a program that is a little too long the size check says by how much."""


class CommandDesigner:
    """Run the command of the settings for each design. It has no memory of its own.

    Args:
        spec: the task.
        brief: its problem statement.
        prompts: returns the templates, of which the files that the command reads are made.
        settings: returns the command's settings of now.
        task_folder: the run's copy of the task.
        recorded: the paths of all files in it.
    """

    name = "command"
    modes: tuple[Mode, ...] = ("full", "diff", "crossover", "fix")
    reads_hints = True

    def __init__(
        self,
        spec: TaskSpec,
        brief: str,
        prompts: Callable[[], Prompts],
        settings: Callable[[], CommandSettings],
        task_folder: Path,
        recorded: Collection[str],
    ) -> None:
        self._spec, self._brief, self._prompts, self._settings = spec, brief, prompts, settings
        self._task_folder, self._recorded = task_folder, recorded

    def apply(self, event: Event) -> None:
        """Do nothing: the next folder holds all that a command learns from."""

    async def design(self, request: DesignRequest) -> Design:
        """Let the command write one candidate.

        Raises:
            DesignerError: what it left is no program, or it could not be run.
            RunError: a file of the task cannot be read.
            Stopping: the engine is ending.
            TaskError: a template of the task is invalid.
        """
        if request.command is None:
            raise DesignerError("no command is configured")
        spec, parent = self._spec, request.parent
        own = files_of(parent.code, spec)
        tree = tree_of(spec, self._task_folder, parent.code, self._recorded) or {}
        fixed = {path: content for path, content in tree.items() if path not in own}
        files = given_files(self._prompts(), spec, self._brief, request, self._settings(), fixed)
        read = partial(read_program, before=parent.code, spec=spec, fixed=fixed)
        role: Role = "fixer" if request.mode == "fix" else "researcher"
        most = spec.max_program_bytes + sum(map(len, fixed.values())) + _SPARE_BYTES
        left = await request.command(role, files, read, most, request.seed, key=f"design/{request.attempt}")
        if left.problem:
            raise DesignerError(left.problem, left.check)
        name, _, motivation = left.notes.strip().partition("\n")
        named = one_line(name.strip("# "), _MOST_OF_A_NAME)
        parents = [parent.id]
        if request.mode == "crossover":
            parents += [node.id for node in request.inspirations[:1] if node.id != parent.id]
        return Design(
            code=left.code,
            operator=request.mode,
            name=named or changes_named(parent.code, left.code, spec.language),
            motivation=motivation.strip() or named or "the command gave no reason",
            parents=parents,
        )

    async def aclose(self) -> None:
        """Do nothing: its processes end with each design."""
