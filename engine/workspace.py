"""Where things are kept: all paths of the workspace in one place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cognition.mounts import NETWORK_TYPES, file_system_type
from engine.task.spec import BUILTIN_TASKS, Task

__all__ = ["network_file_system", "priors_folder", "runs_folder", "workspace"]


def workspace() -> Path:
    """`$EVOLVE_HOME`, else the platform's folder for user data."""
    home = os.environ.get("EVOLVE_HOME")
    if home:
        return Path(home).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("evolve", appauthor=False)


def runs_folder() -> Path:
    """The folder of the runs."""
    return workspace() / "runs"


def priors_folder(task: Task) -> Path:
    """The folder from which the task's priors are read, live.

    A task of one's own keeps them beside its other files. Those of a built-in task are copied into the workspace at
    first use, where a person may edit them; what is there already is never overwritten.
    """
    if task.folder.parent != BUILTIN_TASKS:
        return task.priors
    folder = workspace() / "priors" / task.spec.name
    if not folder.exists() and task.priors.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a second command never sees half of the files.
        partial = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.copytree(task.priors, partial)
        try:
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial)
    return folder


def network_file_system(path: Path) -> str:
    """The type of the network file system that holds `path`, or an empty string for a local one.

    SQLite's write-ahead log needs shared memory, which network file systems do not give.
    """
    kind = file_system_type(path)
    return kind if kind in NETWORK_TYPES else ""
