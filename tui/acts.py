"""What users can ask of a run, as plain functions. Call them from a thread: they wait for the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EvolveError, JournalError, UsageError
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.programs.errors import ProgramError
from engine.programs.folders import split_files
from engine.runs.command_kinds import Answer
from engine.runs.folder import Run, is_alive
from engine.runs.manage import spawn_engine

if TYPE_CHECKING:
    from engine.runs.review import Review

__all__ = [
    "ask",
    "ask_again",
    "fork_run_at",
    "new_run",
    "path_of",
    "program_of",
    "read_text",
    "save_program",
    "save_text",
    "set_and_start",
    "to_agree",
]


def ask(run: Run, kind: str, data: dict[str, Any], key: str) -> int | Answer:
    """Give a run a command; return its id for its engine to answer, or the answer if no engine is at work.

    `key` is the key that resumes the run; an answer may name it.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    _check_steers()
    # Lazy: carrying out commands loads programs and settings, which would delay the application's start.
    from engine.runs.asking import hand_over

    return hand_over(run, kind, data, key)


def _check_steers() -> None:
    """Raise UsageError in a process that serves a browser which may only read; no key of it leads here."""
    if os.environ.get("EVOLVE_WEB") == "read":
        raise UsageError("this view is read-only")


def ask_again(run: Run, command: int, kind: str, data: dict[str, Any]) -> Answer | None:
    """Carry out a command that an engine left unanswered; return None if another engine will answer it.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    from engine.runs.asking import carry_out

    return carry_out(run, kind, data, command)


def set_and_start(run: Run, settings: dict[str, Any] | None = None) -> None:
    """Start the run's engine, which applies the settings first.

    Raises:
        NotTrusted: the run is from elsewhere, and nobody has agreed to it.
        RunError: it ended at once; the message holds its last words.
        JournalError: the run cannot be written.
    """
    _check_steers()
    # Lazy: what is to be agreed to takes as long to load as the application.
    from engine.runs.review import NotTrusted, review_run

    if not is_alive(run) and (review := review_run(run)) is not None:
        raise NotTrusted(review)
    if settings:
        send_command(run.db, "set", {"settings": settings})
    if not is_alive(run):
        _spawn(run)


def _spawn(run: Run) -> None:
    """Start an engine, and read its exit status when it ends: else it stays a zombie until this program exits.

    `spawn_engine` marks its `Popen` as ended, so nothing else waits for the process. A waiting thread costs nothing.
    """
    pid = spawn_engine(run)
    threading.Thread(target=_reap, args=(pid,), name="reaper", daemon=True).start()


def _reap(pid: int) -> None:
    # An engine that ended at once was waited for already.
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def new_run(task: str, runs: Path, rounds: int | None, name: str, started: Callable[[Run], None]) -> None:
    """Create a run of a built-in task or a folder and start its engine.

    Args:
        task: a built-in task's name, or a folder.
        runs: the folder of the runs.
        rounds: limit of rounds; None for the default of the task or the workspace.
        name: the run's name; empty for one made of the task and the time.
        started: called with the run once it exists, before its engine starts.

    Raises:
        TaskError: the task is invalid.
        NotTrusted: the task is from elsewhere, and nobody has agreed to it.
        UsageError: a setting is invalid.
        RunError: the run cannot be created, or its engine ended at once.
    """
    _check_steers()
    # Lazy: this looks up versions of packages, which would delay the application's start.
    from engine.runs.configure import choose_settings, own_layers, require_limit
    from engine.runs.create import create_run
    from engine.runs.presets import Preset
    from engine.runs.review import NotTrusted, review_task
    from engine.task.load import find_task, load_task

    loaded = load_task(find_task(task))
    over = {"rounds": rounds} if rounds is not None else {}
    settings = choose_settings(loaded, Preset(), [("rounds", over)])
    review = review_task(loaded, settings, own_layers([("rounds", over)]))
    if review is not None:
        raise NotTrusted(review)
    require_limit(settings)
    run = create_run(loaded, settings, runs, name)
    started(run)
    _spawn(run)


def to_agree(error: EvolveError) -> Review | None:
    """Return what a person has to agree to, if an act failed for lack of that."""
    from engine.runs.review import NotTrusted

    return error.review if isinstance(error, NotTrusted) else None


def fork_run_at(source: Run, runs: Path, seq: int, name: str) -> Run:
    """Fork a run at an event; do not start the new run's engine.

    Raises:
        UsageError: there is no such event.
        RunError: the name is taken, or the folder cannot be written.
        JournalError: the source cannot be read.
    """
    _check_steers()
    from engine.runs.fork import fork_run

    return fork_run(source, runs.absolute(), at_seq=seq, name=name).run


def program_of(run: Run, sha256: str) -> str:
    """Return a program's text.

    Raises:
        JournalError: it cannot be read.
    """
    with JournalReader(run.db) as reader:
        return reader.text(sha256)


def path_of(text: str) -> Path:
    """Return the path that a user typed.

    Raises:
        UsageError: it begins with the home of a user who has none.
    """
    try:
        return Path(text.strip()).expanduser()
    except RuntimeError as exc:
        raise UsageError(f"'{text.strip()}' is not a path: {exc}") from None


def read_text(path: Path) -> str:
    """Return the text of a user's file.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def save_program(code: str, path: Path, is_folder: bool) -> None:
    """Write a program to a new file, or its files to a new folder if programs are folders.

    Raises:
        JournalError: there is one already, it cannot be written, or the program is not parted into files.
    """
    _check_steers()
    if not is_folder:
        save_text(code, path)
        return
    try:
        files = split_files(code)
    except ProgramError as exc:
        raise JournalError(f"the program cannot be written to {path}: {exc.reason}") from None
    try:
        path.mkdir()
        for name in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise JournalError(f"{path} exists already", "Choose another name") from None
    except OSError as exc:
        raise JournalError(f"{path} cannot be written: {exc.strerror}") from None
    for name, text in files.items():
        save_text(text, path / name)


def save_text(text: str, path: Path) -> None:
    """Write a text to a new file.

    Raises:
        JournalError: there is a file already, or it cannot be written.
    """
    _check_steers()
    try:
        with path.open("x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError:
        raise JournalError(f"{path} exists already", "Choose another name") from None
    except OSError as exc:
        raise JournalError(f"{path} cannot be written: {exc.strerror}") from None
