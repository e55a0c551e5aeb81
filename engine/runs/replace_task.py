"""Replace the copy of the task that a run carries by a folder's files, as one explicit event."""

from __future__ import annotations

import msgspec

from engine.errors import TaskError
from engine.journal.events import TaskChanged
from engine.priors.place import priors_folder
from engine.runs.folder import Run, check_resting, lock_run
from engine.runs.resting import RestingRun
from engine.runs.review import agree_to_run
from engine.state.run_state import RunState
from engine.task.snapshot import read_copy
from engine.task.spec import Task

__all__ = ["adopt_task"]


def adopt_task(run: Run, task: Task) -> str:
    """Let a run that has no engine go on with another copy of its task; return a message for the person.

    Nodes keep the scores that the old copy gave them, and no seed is measured again. Whoever asks for it agrees to the
    task.

    Args:
        run: the run; its lock is held meanwhile, so that no engine starts.
        task: the folder to take, read and checked.

    Raises:
        RunError: the run has an engine.
        TaskError: it is another task, or scores would mean the opposite.
        JournalError: the journal cannot be read or written.
    """
    check_resting(run, "and its task cannot be replaced meanwhile")
    with lock_run(run, engine=False), RestingRun(run) as resting:
        state = resting.state
        _check(state, task)
        try:
            copy = read_copy(task.folder)
        except OSError as exc:
            raise TaskError(f"{exc.filename or task.folder} cannot be read: {exc.strerror}") from None
        before = state.start.files
        files = {path: blob for path, blob in copy.files.items() if before.get(path) != blob}
        files |= {path: "removed" for path in before if path not in copy.files}
        changed = TaskChanged(
            files=files,
            adopted=True,
            spec=msgspec.to_builtins(task.spec),
            large_files=copy.large_files,
            source=str(task.folder),
            priors=str(priors_folder(task)),
        )
        resting.write([(changed, None)], copy.blobs)
        agree_to_run(resting.state, run.folder)
    changes = ", ".join(sorted(files)) or "no file differs"
    return f"task replaced by {task.folder} ({changes}); nodes keep the scores that the old copy gave them"


def _check(state: RunState, task: Task) -> None:
    if task.spec.name != state.spec.name:
        raise TaskError(
            f"{task.folder} is the task '{task.spec.name}', and the run searches '{state.spec.name}'",
            "Start a run of its own with 'evolve run'",
        )
    if task.spec.direction != state.spec.direction:
        raise TaskError(
            f"{task.folder / 'task.toml'}: direction is '{task.spec.direction}', and the run's scores were made to "
            f"{state.spec.direction}",
            "Start a run of its own with 'evolve run'",
        )
