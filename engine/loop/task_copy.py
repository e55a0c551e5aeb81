"""The recorded copy of a task: a run evaluates with it even if the task's folder has changed or is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from engine.errors import RunError
from engine.evaluation.interpreter import locate_interpreter
from engine.journal.events import RunStarted
from engine.runs.folder import Run
from engine.runs.prior_files import unpack_priors
from engine.state.run_state import RunState
from engine.task.snapshot import large_paths, unpack_copy
from engine.task.spec import TaskSpec

__all__ = ["TaskCopy", "lay_out"]


class TaskCopy:
    """The task of a run: its files, mounts and interpreter.

    Args:
        folder: the folder of the copy.
        start: the recorded files, and the folder that they came from.
        spec: the task as recorded.
    """

    def __init__(self, folder: Path, start: RunStarted, spec: TaskSpec) -> None:
        self.folder = folder
        self._start, self._spec = start, spec

    def unpack(self, blob: Callable[[str], bytes]) -> None:
        """Lay out the copy.

        Args:
            blob: returns the content of a recorded file.

        Raises:
            OSError: it cannot be written.
        """
        unpack_copy(self.folder, self._start.files, self._start.large_files, blob)

    @property
    def mounts(self) -> list[str]:
        """Further paths that evaluations may read; relative ones start at the folder that the task was read from.

        Files too large for the journal are among them: the copy holds links to them.
        """
        folders = [str(Path(self._start.source, mount)) for mount in self._spec.mounts]
        return folders + [str(path) for path in large_paths(self._start.large_files).values()]

    @cached_property
    def python(self) -> str | None:
        """The task's interpreter; a relative path starts at the folder that the task was read from.

        Raises:
            EvolveError: it may not be started (see `locate_interpreter`).
        """
        name = self._spec.python
        return name if name is None or "/" not in name else locate_interpreter(name, Path(self._start.source))


def lay_out(run: Run, task: TaskCopy, state: RunState, blob: Callable[[str], bytes]) -> None:
    """Lay out what evaluations need beside the journal: the copy of the task, priors of a fork, a folder to work in.

    Args:
        run: the run's folder.
        task: its task.
        state: the run.
        blob: returns the content of a recorded file.

    Raises:
        RunError: it cannot be written.
    """
    try:
        task.unpack(blob)
        unpack_priors(run, state, blob)
        run.work.mkdir(exist_ok=True)
    except OSError as exc:
        raise RunError(f"{exc.filename or run.folder} cannot be written: {exc.strerror}") from None
