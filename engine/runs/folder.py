"""Runs as folders: find one, and lock it."""

from __future__ import annotations

import difflib
import fcntl
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from engine.errors import JournalError, RunError
from engine.journal.reader import JournalReader
from engine.runs.labels import read_labels
from engine.workspace import runs_folder

__all__ = ["AmbiguousRun", "Run", "all_runs", "check_name", "check_resting", "find_run", "is_alive", "lock_is_deleted"]
__all__ += ["fill_run", "lock_run"]

_LOCK_SECONDS = 2.0
_MOST_NAMED = 8
_COMMAND = re.compile(r"('evolve [a-z]+ )RUN\b")


def fill_run(text: str, typed: str) -> str:
    """Return a text with a run in the place of RUN in each command line that it names: `'evolve resume RUN'`.

    Journals say RUN, since a run may be renamed or forked.

    Args:
        text: a reason or a hint.
        typed: the run as an argument of a command.
    """
    return _COMMAND.sub(lambda found: found[1] + typed, text) if "RUN" in text else text


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
        """The run as an argument of a command: its name if that is enough, else its path, quoted for a shell."""
        if self.folder.parent == runs_folder():
            return shlex.quote(self.name)
        here = Path.cwd()
        return shlex.quote(str(self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder))

    def filled(self, text: str) -> str:
        """Return a text with this run in the place of RUN; see `fill_run`."""
        return fill_run(text, self.typed)

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
        """The engine's log, beside the journal."""
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
        name: the name as typed.
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


def all_runs(runs: Path) -> list[Run]:
    """Return the runs in a folder, newest first."""
    found = []
    for path in runs.glob("*/run.db") if runs.is_dir() else []:
        # A folder that is being deleted is no longer a run.
        with suppress(FileNotFoundError):
            found.append((path.stat().st_ctime_ns, path.parent))
    return [Run(folder) for _, folder in sorted(found, reverse=True)]


def find_run(name: str | None, runs: Path) -> Run:
    """Return the run with a path, a name or the beginning of a name; the newest that is not archived for None.

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
        return max([run for run in known if not read_labels(run.folder).archived] or known, key=_started)
    exact = [run for run in known if run.name == name]
    fitting = exact or [run for run in known if run.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise AmbiguousRun(name, sorted(fitting, key=_started, reverse=True))
    raise _not_found(name, runs, [run.name for run in known])


def _not_found(name: str, runs: Path, known: list[str]) -> RunError:
    """Return the error for a name of no run, with a suggestion."""
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
    # The text may be a part of a name, or similar to a name or to its beginning.
    close = difflib.get_close_matches(name, [*known, *(run[: len(name)] for run in known)], 1)
    meant = next((run for run in known if len(name) > 2 and name in run), "")
    meant = meant or next((run for run in known if close and run.startswith(close[0])), "")
    if meant:
        hint = f"Did you mean '{meant}'? 'evolve runs' lists them"
    elif known and (name.isdecimal() or name == "best"):
        hint = f"'evolve show {shlex.quote(known[0])} {name}' shows a node of the newest; 'evolve runs' lists the runs"
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
    except (JournalError, ValueError, TypeError):
        return 0


@contextmanager
def lock_run(run: Run, engine: bool = True) -> Iterator[int]:
    """Hold the run's lock, and yield the descriptor of its file: one engine a run, and one writer.

    Args:
        run: the run.
        engine: False if the caller only writes a few events; the run does not count as alive meanwhile.

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
            # A process that only asks whether the engine is alive holds the lock for an instant.
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
    """Return whether an engine holds the run's lock: it writes its name there, which other holders do not."""
    try:
        # Never waits: the file may be a pipe in a folder from elsewhere.
        descriptor = os.open(run.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return bool(os.pread(descriptor, 1, 0))
    finally:
        os.close(descriptor)
    return False


def check_resting(run: Run, but: str = "") -> None:
    """Raise RunError if an engine holds the run's lock.

    Args:
        run: the run.
        but: a clause that says what cannot be done meanwhile; empty if it is obvious.
    """
    if is_alive(run):
        raise RunError(
            f"run '{run.name}' has an engine at work{but and ', '}{but}", f"'evolve stop {run.typed}' ends it"
        )


def check_name(name: str) -> None:
    """Raise RunError if a name cannot be a run's folder."""
    if len(name.encode("utf-8", "surrogateescape")) > 200:
        raise RunError(f"{name[:40]!r}… is too long to name a run")
    if name in ("", ".", "..") or "/" in name or name.startswith(("-", ".")) or not name.isprintable():
        raise RunError(
            f"{name!r} cannot name a run", "It may not hold '/' or what cannot be printed, nor begin with '.' or '-'"
        )
