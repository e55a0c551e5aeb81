"""A new run: a folder with a journal that holds all the run needs to go on without its surroundings."""

from __future__ import annotations

import platform
import shutil
import socket
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.errors import EvolveError, RunError
from engine.journal.blobs import insert_blob
from engine.journal.clock import now_ms
from engine.journal.database import create_journal, insert_event
from engine.journal.events import Event, RunStarted
from engine.journal.reader import JournalReader
from engine.priors.place import priors_folder
from engine.runs.folder import Run, check_name
from engine.runs.review import agree_to_run
from engine.runs.secret import copy_secret, make_secret
from engine.settings.model import Settings
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.snapshot import read_copy
from engine.task.spec import Task
from engine.workspace import network_file_system

if TYPE_CHECKING:
    from engine.runs.warm import Warm

__all__ = ["check_file_system", "create_run", "make_folder"]


def create_run(
    task: Task,
    settings: Settings,
    runs: Path,
    name: str = "",
    allow_network_fs: bool = False,
    at: int | None = None,
    warm: Warm | None = None,
) -> Run:
    """Make a run's folder with a journal that holds all the run needs to go on.

    Whoever makes a run agrees to its task: it goes on here without a question.

    Args:
        task: what is searched for.
        settings: of the run.
        runs: the folder of runs.
        name: the run's name; empty for one made of the task and the time.
        allow_network_fs: make it even on a network file system.
        at: when it began, in milliseconds since 1970; by default now.
        warm: programs of other runs that it starts with.

    Raises:
        RunError: the folder exists, cannot be written, or lies on a network file system.
    """
    if not allow_network_fs:
        check_file_system(runs)
    searched = "-".join(filter(None, (task.spec.name, task.spec.instance)))
    folder = make_folder(runs, name or f"{searched}-{time.strftime('%Y%m%d-%H%M%S')}", exact=bool(name))
    try:
        agree_to_run(RunState(_write_start(folder, task, settings, at, warm)), folder)
    except (OSError, EvolveError) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(exc, EvolveError):
            raise
        raise RunError(f"{folder} cannot be written: {exc.strerror or exc}") from None
    return Run(folder)


def check_file_system(runs: Path) -> None:
    """Raise RunError if the file system is not safe for SQLite's log."""
    kind = network_file_system(runs)
    if kind:
        raise RunError(
            f"{runs} is on a network file system ({kind}), where the journal is not safe",
            "Use a local folder with --runs DIR, or take the risk with --allow-network-fs",
        )


def make_folder(runs: Path, name: str, exact: bool) -> Path:
    """Make a folder for a run; unless the name is `exact`, add a number if it is taken.

    Raises:
        RunError: the name is taken or cannot name a run, or the folder cannot be made.
    """
    check_name(name)
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise RunError(
            f"the folder {runs} cannot be made: {exc.strerror}", "Use another folder with --runs DIR"
        ) from None
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            if exact:
                raise RunError(f"there is a run '{name}' already in {runs}", "Choose another --name") from None
        except OSError as exc:
            raise RunError(
                f"the folder {folder} cannot be made: {exc.strerror}", "Use another folder with --runs DIR"
            ) from None
    raise RunError(f"{runs} holds too many runs named {name}")


def _write_start(folder: Path, task: Task, settings: Settings, at: int | None, warm: Warm | None) -> Event:
    copy = read_copy(task.folder)
    started = RunStarted(
        task=task.spec.name,
        settings=msgspec.to_builtins(settings),
        spec=msgspec.to_builtins(task.spec),
        files=copy.files,
        large_files=copy.large_files,
        source=str(task.folder),
        priors=str(priors_folder(task)),
        host=socket.gethostname(),
        versions=_versions(),
        environment={"python": platform.python_version(), "platform": platform.platform()},
        secret=_secret(folder, settings),
    )
    # Renamed into place when it is complete, so that no other process finds half a run.
    partial = folder / "new.db"
    connection = create_journal(partial)
    try:
        connection.execute("BEGIN")
        for content in [*copy.blobs, *(warm.contents if warm is not None else ())]:
            insert_blob(connection, content)
        first = Event(1, now_ms() if at is None else at, None, None, started)
        insert_event(connection, first)
        if warm is not None:
            insert_event(connection, Event(2, first.at, None, None, warm.event))
        connection.execute("COMMIT")
    except Exception as exc:
        raise RunError(f"{folder / 'run.db'} cannot be written: {exc}") from None
    finally:
        connection.close()
    partial.rename(folder / "run.db")
    return first


def _secret(folder: Path, settings: Settings) -> str:
    """Give the run a secret and return its commitment; empty if the data seed is known."""
    if settings.data_seed is not None:
        return ""
    if settings.answers:
        # The recorded answers are about the other run's measurements.
        with JournalReader(Run(Path(settings.answers)).db) as reader:
            wanted = fold_run(reader).secret
        if copy_secret(Path(settings.answers), folder, wanted):
            return wanted
    return make_secret(folder)


def _versions() -> dict[str, str]:
    found = {}
    for package in ("asi-evolve-tui", "msgspec", "libcst", "numpy", "scipy", "torch", "triton"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
