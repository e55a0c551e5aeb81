"""Runs as folders: find one, lock it, start its engine, tell how it stands. `engine.runs.create` makes one."""

from __future__ import annotations

import difflib
import fcntl
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from engine.errors import JournalError, RunError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.settings.decode import deep_merge
from engine.settings.fitness import FitnessSettings
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import ENDED, RunState
from engine.workspace import runs_folder

__all__ = [
    "AmbiguousRun",
    "Run",
    "RunSummary",
    "all_runs",
    "best_entry",
    "check_name",
    "find_run",
    "fold_run",
    "is_alive",
    "kept_summary",
    "lock_is_deleted",
    "lock_run",
    "run_status",
    "spawn_engine",
    "summarize",
    "summary_of",
]

_LOCK_SECONDS = 2.0
_MOST_NAMED = 8


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def typed(self) -> str:
        """What to type for it after a command: its name where that is enough, else its path, quoted for a shell."""
        if self.folder.parent == runs_folder():
            return shlex.quote(self.name)
        here = Path.cwd()
        return shlex.quote(str(self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder))

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


class AmbiguousRun(RunError):
    """The beginning of a name fits several runs; `newest` is the one that was started last.

    Args:
        name: what was written.
        fitting: the runs that it fits, newest first.
    """

    def __init__(self, name: str, fitting: list[Run]) -> None:
        self.newest = fitting[0]
        names = ", ".join(run.name for run in fitting[:_MOST_NAMED])
        more = f" and {len(fitting) - _MOST_NAMED} more" if len(fitting) > _MOST_NAMED else ""
        super().__init__(
            f"'{name}' fits several runs, newest first: {names}{more}",
            f"Write more of the name; the newest is {self.newest.typed}",
        )


class RunSummary(TypedDict):
    """What lists of runs show; `evolve runs --json`."""

    run: str
    name: str
    task: str
    status: str
    reason: str
    """Why it has this status; empty where there is nothing to be said."""
    rounds: int
    nodes: int
    best: dict[str, Any] | None
    ranked_by: str
    started: str
    host: str
    usd: float
    tokens: int


def all_runs(runs: Path) -> list[Run]:
    """The runs in a folder, newest first."""
    found = []
    for path in runs.glob("*/run.db") if runs.is_dir() else []:
        # One that is being deleted is no run any more.
        with suppress(FileNotFoundError):
            found.append((path.stat().st_ctime_ns, path.parent))
    return [Run(folder) for _, folder in sorted(found, reverse=True)]


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
        raise AmbiguousRun(name, sorted(fitting, key=_started, reverse=True))
    raise _not_found(name, runs, [run.name for run in known])


def _not_found(name: str, runs: Path, known: list[str]) -> RunError:
    """What is wrong with a name that means no run, and what was meant perhaps."""
    path, typed = Path(name), shlex.quote(name)
    if path.is_dir() and (path / "task.toml").exists():
        return RunError(
            f"{name} is a task folder, no run: it has no run.db", f"'evolve run {typed}' starts a run of it"
        )
    if path.is_dir() and "/" in name:
        inside = any(path.glob("*/run.db"))
        return RunError(
            f"{name} is a folder, no run: it has no run.db",
            f"'evolve runs --runs {typed}' lists the runs in it" if inside else "'evolve runs' lists the runs",
        )
    # What was written may be a part of a name, or like a name, or like its beginning.
    close = difflib.get_close_matches(name, [*known, *(run[: len(name)] for run in known)], 1)
    meant = next((run for run in known if len(name) > 2 and name in run), "")
    meant = meant or next((run for run in known if close and run.startswith(close[0])), "")
    if meant:
        hint = f"Did you mean '{meant}'? 'evolve runs' lists them"
    elif name.isdecimal():
        hint = f"'evolve show RUN {name}' shows a node; 'evolve runs' lists the runs"
    else:
        hint = "'evolve runs' lists them"
    return RunError(f"there is no run '{name}' in {runs}", hint)


def _started(run: Run) -> int:
    try:
        with JournalReader(run.db) as reader:
            forked = reader.meta("forked_at")
            if forked:
                return int(forked)
            first = next(reader.rows(upto=1), None)
            return int(first[1]) if first else 0
    except JournalError:
        return 0


@contextmanager
def lock_run(run: Run, engine: bool = True) -> Iterator[int]:
    """Hold the run's lock, and yield the descriptor of its file: one engine a run, and one writer.

    Args:
        run: the run.
        engine: False for whoever only writes a few events; the run does not count as alive meanwhile.

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
                if not holder:
                    raise RunError(f"run '{run.name}' is being written by another process", "Try again")
                raise RunError(
                    f"run '{run.name}' already has an engine ({holder})",
                    f"'evolve stop {run.typed}' ends it, 'evolve show {run.typed}' tells how it stands",
                )
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        if engine:
            since = f"host {socket.gethostname()}\npid {os.getpid()}\nsince {time.ctime()}\n"
            os.pwrite(descriptor, since.encode(), 0)
        yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def lock_is_deleted(descriptor: int) -> bool:
    """Return whether the lock's file was deleted, with the run's folder or alone; moving the folder does not count."""
    return os.fstat(descriptor).st_nlink == 0


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(run: Run) -> bool:
    """Whether an engine holds the run's lock: it has written its name there, which others who hold it do not."""
    try:
        descriptor = os.open(run.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return bool(os.pread(descriptor, 1, 0))
    finally:
        os.close(descriptor)
    return False


def fold_run(reader: JournalReader, upto: int | None = None) -> RunState:
    """The state after a run's events, all or a prefix.

    Raises:
        JournalError: the journal is damaged or holds no run.
    """
    state = first_state(reader)
    with damage_named(reader.path):
        for event in reader.events(after=state.seq, upto=upto):
            apply(state, event)
    return state


def run_status(run: Run, state: RunState) -> str:
    """`running`, `paused`, `finished`, `stopped`, `failed`, or `dead`: unfinished without an engine."""
    if is_alive(run):
        return state.status if state.status in ("running", "paused") else "running"
    if state.status in ENDED and state.engine is not None:
        return state.status
    return "dead" if state.engine is not None else "stopped"


def check_name(name: str) -> None:
    """Raise RunError for what cannot name a run's folder."""
    if len(name.encode("utf-8", "surrogateescape")) > 200:
        raise RunError(f"{name[:40]!r}… is too long to name a run")
    if name in ("", ".", "..") or "/" in name or name.startswith(("-", ".")) or not name.isprintable():
        raise RunError(
            f"{name!r} cannot name a run", "It may not hold '/' or what cannot be printed, nor begin with '.' or '-'"
        )


def summarize(run: Run) -> RunSummary:
    """How a run stands.

    Raises:
        JournalError: its journal cannot be read.
    """
    with JournalReader(run.db) as reader:
        summary = kept_summary(reader) or summary_of(fold_run(reader))
    status = summary["status"]
    if status not in ENDED or is_alive(run):
        status = "dead" if not is_alive(run) else (status if status == "paused" else "running")
    return RunSummary(
        run=str(run.folder),
        name=run.name,
        task=summary["task"],
        status=status,
        # What a dead engine said last is no reason for its death.
        reason="" if status in ("dead", "running") else summary.get("reason", ""),
        rounds=summary["rounds"],
        nodes=summary["nodes"],
        best=summary["best"],
        ranked_by=summary["ranked_by"],
        started=summary["started"],
        host=summary["host"],
        # Runs of earlier versions asked no model.
        usd=summary.get("usd", 0.0),
        tokens=summary.get("tokens", 0),
    )


def kept_summary(reader: JournalReader) -> dict[str, Any] | None:
    """What `summary_of` said at the end of the run; None where the journal must be folded to know it."""
    kept = reader.meta("summary")
    summary: dict[str, Any] = msgspec.json.decode(kept) if kept else {}
    if summary.get("seq") != reader.last_seq():
        return None
    if "ranked_by" in summary:
        return summary
    # An earlier version kept the score alone. Where nothing else counts, the fitness follows from it without a fold.
    started = next(reader.events(upto=1)).data
    settings = started.settings if isinstance(started, ev.RunStarted) else {}
    for event in reader.events_of(ev.SettingsChanged):
        settings = deep_merge(settings, getattr(event.data, "settings", {}))
    if not isinstance(started, ev.RunStarted) or not _fitness_of(settings).is_score:
        return None
    if summary["best"] is not None:
        sign = 1.0 if started.spec.get("direction") == "maximize" else -1.0
        summary["best"]["fitness"] = sign * summary["best"]["score"]
    return {**summary, "ranked_by": "score"}


def _fitness_of(settings: dict[str, Any]) -> FitnessSettings:
    return msgspec.convert(settings.get("fitness", {}), FitnessSettings)


def best_entry(state: RunState) -> dict[str, Any] | None:
    """The best node as data: its number, its score, its fitness (higher is better)."""
    best = state.best_node
    return None if best is None else {"node": best.id, "score": best.score, "fitness": best.fitness}


def summary_of(state: RunState) -> dict[str, Any]:
    """The part of a summary that the journal alone tells; kept in `meta` at the end, so that lists need no fold."""
    return {
        "seq": state.seq,
        "task": state.start.task,
        "status": state.status,
        "reason": state.reason,
        "rounds": state.rounds_done,
        "nodes": len(state.nodes),
        "best": best_entry(state),
        "ranked_by": state.ranking.key,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((state.forked_at or state.started_at) / 1000)),
        "host": state.start.host,
        "usd": state.usd,
        "tokens": state.tokens,
    }


def spawn_engine(run: Run) -> int:
    """Start the run's engine, detached from this terminal, and return its process id.

    Waits until the engine holds the run's lock, so that whoever looks next finds it alive.

    Raises:
        RunError: the engine ended before it took the run up; the message ends with its last words.
    """
    # It works in the run's folder, where a relative path would lead elsewhere.
    command = [sys.executable, "-m", "engine", str(run.folder.absolute())]
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
