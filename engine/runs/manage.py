"""Start the engine of a run; rename and delete runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from engine.errors import JournalError, RunError
from engine.runs.folder import Run, check_name, check_resting, is_alive

__all__ = ["delete_run", "rename_run", "spawn_engine"]


def rename_run(run: Run, name: str) -> Run:
    """Rename a run's folder; its proposals get the new name, too.

    Raises:
        RunError: its engine is alive, the name is taken or cannot name a run; or it has its new name, and its proposals
            keep the old one.
    """
    check_name(name)
    check_resting(run)
    target = run.folder.with_name(name)
    if target.exists():
        raise RunError(f"there is a run '{name}' already in {run.folder.parent}", "Choose another name")
    try:
        renamed = Run(run.folder.rename(target))
    except OSError as exc:
        raise RunError(f"{run.folder} cannot be renamed: {exc.strerror}") from None
    # Lazy: this loads the cognition base, which would delay the start of the application.
    from engine.runs.prior_files import rename_proposals

    # A journal that cannot be read proposes nothing any more.
    with suppress(JournalError):
        rename_proposals(renamed, run.name)
    return renamed


def delete_run(run: Run) -> None:
    """Remove a run's folder.

    Raises:
        RunError: its engine is alive, or the folder cannot be removed.
    """
    check_resting(run)
    # Lazy: the application loads this module at its start.
    from engine.evaluation.supervisor.folders import remove_tree

    try:
        remove_tree(str(run.folder))
    except OSError as exc:
        raise RunError(f"{exc.filename or run.folder} cannot be removed: {exc.strerror}") from None


def spawn_engine(run: Run) -> int:
    """Start the run's engine, detached from this terminal, and return its process id.

    Wait until the engine holds the run's lock, so that every later look finds it alive.

    Raises:
        RunError: the engine ended before it took up the run; the message ends with its last line.
    """
    # The engine works in the run's folder, so a relative path would lead elsewhere.
    command = [sys.executable, "-m", "engine", str(run.folder.absolute())]
    if _lingers():
        # Without a scope of its own, systemd would end it with the login session (KillUserProcesses).
        command = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", *command]
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
                f"the engine of '{run.name}' ended at once: {words.splitlines()[-1] if words else 'it printed nothing'}"
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
