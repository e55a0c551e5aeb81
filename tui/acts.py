"""What a person can ask of a run, as plain functions to be called from a thread: they wait for the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import JournalError, UsageError
from engine.journal.reader import JournalReader, send_command
from engine.runs.command_kinds import Answer
from engine.runs.folder import Run, is_alive, spawn_engine
from engine.task.load import find_task, load_task

__all__ = [
    "ask",
    "ask_again",
    "fork_run_at",
    "new_run",
    "path_of",
    "program_of",
    "read_text",
    "save_text",
    "set_and_start",
]


def ask(run: Run, kind: str, data: dict[str, Any], key: str) -> int | Answer:
    """Ask something of a run: the id of the command that its engine answers, or the answer if it has none.

    `key` is what lets the run go on; an answer may name it.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    # What carries commands out knows programs and settings, which a start of the application need not wait for.
    from engine.runs.asking import hand_over

    return hand_over(run, kind, data, key)


def ask_again(run: Run, command: int, kind: str, data: dict[str, Any]) -> Answer | None:
    """See to a command that an engine left unanswered; None if another engine is there to answer it.

    Raises:
        RunError: the run cannot be written.
        JournalError: the run cannot be read or written.
    """
    from engine.runs.asking import carry_out

    return carry_out(run, kind, data, command)


def set_and_start(run: Run, settings: dict[str, Any] | None = None) -> None:
    """Start the run's engine, with settings that it takes up at its start.

    Raises:
        RunError: it ended at once; the message holds its last words.
        JournalError: the run cannot be written.
    """
    if settings:
        send_command(run.db, "set", {"settings": settings})
    if not is_alive(run):
        _spawn(run)


def _spawn(run: Run) -> None:
    """Start an engine, and take its exit status when it ends: it would stay a zombie until this program leaves.

    `spawn_engine` has its `Popen` believe that the child is gone, so nothing else waits for it. A thread that does
    costs nothing meanwhile.
    """
    pid = spawn_engine(run)
    threading.Thread(target=_reap, args=(pid,), name="reaper", daemon=True).start()


def _reap(pid: int) -> None:
    # One that was over at once was waited for already.
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def new_run(task: str, runs: Path, rounds: int | None, name: str, started: Callable[[Run], None]) -> None:
    """Make a run of a built-in task or a folder and start its engine.

    Args:
        task: a built-in task's name, or a folder.
        runs: the folder of the runs.
        rounds: rounds in all; the task's or the workspace's default for None.
        name: the run's name; made from the task and the time where it is empty.
        started: called with the run once it exists, before its engine is up.

    Raises:
        TaskError: the task is not as it should be.
        UsageError: settings hold what cannot be.
        RunError: the run cannot be made, or its engine ended at once.
    """
    # It looks up the versions of packages, which a start of the application need not wait for.
    from engine.runs.configure import choose_settings, require_limit
    from engine.runs.create import create_run
    from engine.runs.presets import Preset

    loaded = load_task(find_task(task))
    over = {"rounds": rounds} if rounds is not None else {}
    settings = choose_settings(loaded, Preset(), [("rounds", over)])
    require_limit(settings)
    run = create_run(loaded, settings, runs, name)
    started(run)
    _spawn(run)


def fork_run_at(source: Run, runs: Path, seq: int, name: str) -> Run:
    """Make a run of what another one had come to at an event; its engine is not started.

    Raises:
        UsageError: there is no such event.
        RunError: the name is taken, or the folder cannot be written.
        JournalError: the other run cannot be read.
    """
    from engine.runs.fork import fork_run

    return fork_run(source, runs.absolute(), at_seq=seq, name=name).run


def program_of(run: Run, sha256: str) -> str:
    """A program's text.

    Raises:
        JournalError: it cannot be read.
    """
    with JournalReader(run.db) as reader:
        return reader.text(sha256)


def path_of(text: str) -> Path:
    """The path that a person typed.

    Raises:
        UsageError: it begins with the home of a user who has none.
    """
    try:
        return Path(text.strip()).expanduser()
    except RuntimeError as exc:
        raise UsageError(f"'{text.strip()}' is no path: {exc}") from None


def read_text(path: Path) -> str:
    """The text of a person's file.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def save_text(text: str, path: Path) -> None:
    """Write a text to a new file.

    Raises:
        JournalError: there is a file already, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError:
        raise JournalError(f"{path} exists already", "Choose another name") from None
    except OSError as exc:
        raise JournalError(f"{path} cannot be written: {exc.strerror}") from None
