"""What a person can ask of a run, as plain functions to be called from a thread: they wait for the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import JournalError, RunError
from engine.journal.reader import JournalReader, send_command
from engine.runs.folder import Run, is_alive, spawn_engine
from engine.task.spec import find_task, load_task

__all__ = ["LABELS", "fork_run_at", "new_run", "program_of", "save_text", "send", "set_and_start"]

LABELS = {
    "pause": "pausing…",
    "resume": "resuming…",
    "step": "stepping…",
    "stop": "stopping…",
    "inject": "injecting…",
    "pin": "pinning…",
    "unpin": "unpinning…",
    "prune": "pruning…",
    "restore": "restoring…",
    "star": "marking…",
    "comment": "writing…",
    "rerun": "asking…",
    "set": "setting…",
}
"""What the status line says until the engine has answered."""


def send(run: Run, kind: str, data: dict[str, Any]) -> int:
    """Ask something of the engine; returns the command's id.

    Raises:
        RunError: no engine is at work.
        JournalError: the run cannot be written.
    """
    if not is_alive(run):
        raise RunError(f"no engine is at work on '{run.name}'", "Resume it first")
    return send_command(run.db, kind, data)


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
