"""Runs as folders: make one, find one, lock it, start its engine, tell how it stands."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from engine.errors import EvolveError, JournalError, RunError
from engine.events import Event, RunStarted
from engine.journal import JournalReader, create_journal, insert_blob, insert_event, now_ms, sha256_of
from engine.settings import Settings
from engine.state import ENDED, RunState
from engine.task import Task
from engine.workspace import network_file_system, priors_folder

__all__ = [
    "Run",
    "RunSummary",
    "all_runs",
    "create_run",
    "find_run",
    "fold_run",
    "is_alive",
    "lock_run",
    "spawn_engine",
    "summarize",
]

_TASK_BYTES = 20 << 20
_LOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def db(self) -> Path:
        """The journal."""
        return self.folder / "run.db"

    @property
    def lock(self) -> Path:
        """The file that a living engine holds locked."""
        return self.folder / "run.lock"

    @property
    def log(self) -> Path:
        """What the engine says beside the journal."""
        return self.folder / "engine.log"

    @property
    def task(self) -> Path:
        """The recorded copy of the task's files, unpacked from the journal by the engine."""
        return self.folder / "task"

    @property
    def work(self) -> Path:
        """The folders of running evaluations."""
        return self.folder / "work"


class RunSummary(TypedDict):
    """What lists of runs show; `evolve runs --json`."""

    run: str
    name: str
    task: str
    status: str
    rounds: int
    nodes: int
    best: dict[str, Any] | None
    started: str
    host: str


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
    if name in (".", "..") or "/" in name or name.startswith("-") or not name.isprintable():
        raise RunError(f"{name!r} cannot name a run", "Use letters, digits, '.', '_' and '-'")
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


def all_runs(runs: Path) -> list[Run]:
    """The runs in a folder, newest first."""
    found = [path.parent for path in runs.glob("*/run.db")] if runs.is_dir() else []
    return [Run(folder) for folder in sorted(found, key=lambda f: ((f / "run.db").stat().st_ctime_ns, f), reverse=True)]


def find_run(name: str | None, runs: Path) -> Run:
    """The run that a path, a name or the beginning of a name means; the newest for None.

    Raises:
        RunError: there is none, or the beginning fits several.
    """
    if name is not None and (Path(name) / "run.db").is_file():
        return Run(Path(name).absolute())
    if name is not None and name.endswith("run.db") and Path(name).is_file():
        return Run(Path(name).absolute().parent)
    known = all_runs(runs)
    if name is None:
        if not known:
            raise RunError(f"there is no run in {runs} yet", "'evolve run TASK' starts one")
        # The newest is the one started last, which a later write to an older run's file does not change.
        return max(known, key=_started)
    exact = [run for run in known if run.name == name]
    fitting = exact or [run for run in known if run.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunError(
            f"'{name}' fits several runs: {', '.join(run.name for run in fitting)}", "Write more of the name"
        )
    raise RunError(f"there is no run '{name}' in {runs}", "'evolve runs' lists them")


def _started(run: Run) -> int:
    try:
        with JournalReader(run.db) as reader:
            first = next(reader.rows(upto=1), None)
            return int(first[1]) if first else 0
    except JournalError:
        return 0


@contextmanager
def lock_run(run: Run) -> Iterator[None]:
    """Hold the run's lock: one engine a run.

    Raises:
        RunError: another engine holds it, or the folder cannot be written.
    """
    try:
        descriptor = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise RunError(f"{run.lock} cannot be written: {exc.strerror}") from None
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(descriptor):
            # Whoever only asks whether the engine lives holds the lock for an instant.
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").replace("\n", ", ").strip(", ")
                raise RunError(
                    f"run '{run.name}' already has an engine ({holder or 'unknown'})",
                    f"'evolve stop {run.name}' ends it, 'evolve show {run.name}' tells how it stands",
                )
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"host {socket.gethostname()}\npid {os.getpid()}\nsince {time.ctime()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(run: Run) -> bool:
    """Whether an engine holds the run's lock."""
    try:
        descriptor = os.open(run.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def fold_run(reader: JournalReader, upto: int | None = None) -> RunState:
    """The state after a run's events, all or a prefix.

    Raises:
        JournalError: the journal is damaged or holds no run.
    """
    state = RunState()
    seq = 0
    try:
        for event in reader.events(upto=upto):
            seq = event.seq
            state.apply(event)
    except (AssertionError, LookupError, TypeError, msgspec.ValidationError) as exc:
        raise JournalError(f"{reader.path} is damaged at event {seq}: {exc}") from None
    if state.start is None:
        raise JournalError(f"{reader.path} holds no run: its first event is missing")
    return state


def run_status(run: Run, state: RunState) -> str:
    """`running`, `paused`, `finished`, `stopped`, `failed`, or `dead`: unfinished without an engine."""
    if is_alive(run):
        return state.status if state.status in ("running", "paused") else "running"
    if state.status in ENDED and state.engine is not None:
        return state.status
    return "dead" if state.engine is not None else "stopped"


def summarize(run: Run) -> RunSummary:
    """How a run stands.

    Raises:
        JournalError: its journal cannot be read.
    """
    with JournalReader(run.db) as reader:
        kept = reader.meta("summary")
        summary: dict[str, Any] = msgspec.json.decode(kept) if kept else {}
        if summary.get("seq") != reader.last_seq():
            summary = summary_of(fold_run(reader))
    status = summary["status"]
    if status not in ENDED or is_alive(run):
        status = "dead" if not is_alive(run) else (status if status == "paused" else "running")
    return RunSummary(
        run=str(run.folder),
        name=run.name,
        task=summary["task"],
        status=status,
        rounds=summary["rounds"],
        nodes=summary["nodes"],
        best=summary["best"],
        started=summary["started"],
        host=summary["host"],
    )


def summary_of(state: RunState) -> dict[str, Any]:
    """The part of a summary that the journal alone tells; kept in `meta` at the end, so that lists need no fold."""
    assert state.start is not None
    best = state.best_node
    return {
        "seq": state.seq,
        "task": state.start.task,
        "status": state.status,
        "reason": state.reason,
        "rounds": state.rounds_done,
        "nodes": len(state.nodes),
        "best": None if best is None else {"node": best.id, "score": best.score},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(state.started_at / 1000)),
        "host": state.start.host,
    }


def spawn_engine(run: Run) -> int:
    """Start the run's engine, detached from this terminal, and return its process id.

    Waits until the engine holds the run's lock, so that whoever looks next finds it alive.

    Raises:
        RunError: the engine ended before it took the run up; the message ends with its last words.
    """
    command = [sys.executable, "-m", "engine", str(run.folder)]
    if _lingers():
        # Without a scope of its own, systemd would end it with the login session (KillUserProcesses).
        command = ["systemd-run", "--user", "--scope", "--quiet", "--collect", *command]
    before = run.log.stat().st_size if run.log.exists() else 0
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=run.folder
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = run.log.read_bytes()[before:].decode("utf-8", "replace").strip()
            if process.returncode == 0:
                return process.pid
            raise RunError(
                f"the engine of '{run.name}' ended at once: {words.splitlines()[-1] if words else 'no word'}"
            )
        if is_alive(run):
            # Popen would warn of a child that still runs when it is collected; this one is meant to outlive us.
            process.returncode = 0
            return process.pid
        time.sleep(0.02)
    raise RunError(f"the engine of '{run.name}' did not take it up within 30 s", f"Look into {run.log}")


def _lingers() -> bool:
    user = os.environ.get("USER", "")
    return bool(
        user
        and shutil.which("systemd-run")
        and Path("/var/lib/systemd/linger", user).exists()
        and Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "systemd").is_dir()
    )
