"""A new run: a folder with a journal that holds all the run needs to go on without its surroundings."""

from __future__ import annotations

import hashlib
import platform
import shutil
import socket
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from engine.errors import EvolveError, RunError
from engine.events import Event, RunStarted
from engine.journal import create_journal, insert_blob, insert_event, now_ms, sha256_of
from engine.run import Run, check_name
from engine.settings import Settings
from engine.task import Task
from engine.workspace import network_file_system, priors_folder

__all__ = ["create_run", "task_files"]

_TASK_BYTES = 20 << 20


def create_run(task: Task, settings: Settings, runs: Path, name: str = "", allow_network_fs: bool = False) -> Run:
    """Make a run's folder with a journal that holds all the run needs to go on.

    Raises:
        RunError: the folder exists, cannot be written, or lies on a network file system.
    """
    kind = network_file_system(runs)
    if kind and not allow_network_fs:
        raise RunError(
            f"{runs} is on a network file system ({kind}), where the journal is not safe",
            "Use a local folder with --runs DIR, or take the risk with --allow-network-fs",
        )
    folder = _make_folder(runs, name or f"{task.spec.name}-{time.strftime('%Y%m%d-%H%M%S')}", exact=bool(name))
    try:
        _write_start(folder, task, settings)
    except (OSError, EvolveError) as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(exc, EvolveError):
            raise
        raise RunError(f"{folder} cannot be written: {exc.strerror or exc}") from None
    return Run(folder)


def _make_folder(runs: Path, name: str, exact: bool) -> Path:
    check_name(name)
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            runs.mkdir(parents=True, exist_ok=True)
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


def _write_start(folder: Path, task: Task, settings: Settings) -> None:
    files: dict[str, str] = {}
    large: dict[str, str] = {}
    blobs: list[bytes] = []
    kept = 0
    for path in task_files(task.folder):
        size = path.stat().st_size
        relative = path.relative_to(task.folder).as_posix()
        if kept + size > _TASK_BYTES:
            with path.open("rb") as file:
                large[relative] = f"{hashlib.file_digest(file, 'sha256').hexdigest()} {size} {path}"
            continue
        content = path.read_bytes()
        kept += size
        files[relative] = sha256_of(content)
        blobs.append(content)
    started = RunStarted(
        task=task.spec.name,
        settings=msgspec.to_builtins(settings),
        spec=msgspec.to_builtins(task.spec),
        files=files,
        large_files=large,
        source=str(task.folder),
        priors=str(priors_folder(task)),
        host=socket.gethostname(),
        versions=_versions(),
        environment={"python": platform.python_version(), "platform": platform.platform()},
    )
    # Renamed into place when it is whole, so that nobody ever finds half a run.
    partial = folder / "new.db"
    connection = create_journal(partial)
    try:
        connection.execute("BEGIN")
        for content in blobs:
            insert_blob(connection, content)
        insert_event(connection, Event(1, now_ms(), None, None, started))
        connection.execute("COMMIT")
    except Exception as exc:
        raise RunError(f"{folder / 'run.db'} cannot be written: {exc}") from None
    finally:
        connection.close()
    partial.rename(folder / "run.db")


def task_files(folder: Path) -> Iterator[Path]:
    """The files of a task folder that belong to it, smallest trouble first: no caches, no hidden files, no priors.

    Priors are left out since they are read live, and each revision that a design is shown is kept by itself.
    """
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] == "priors" or any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        if path.is_file():
            yield path


def _versions() -> dict[str, str]:
    found = {}
    for package in ("asi-evolve-tui", "msgspec", "libcst", "numpy", "scipy", "torch", "triton"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
