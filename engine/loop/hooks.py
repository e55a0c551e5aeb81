"""Hooks: the user's shell commands, run when a run finds a new best or ends.

They are read from the workspace's config.toml only: a task folder or a run from somebody else must not bring commands
along.

    [hooks]
    on_best = "notify-send \\"$EVOLVE_RUN: $EVOLVE_SCORE\\""
    on_stop = "…"
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.errors import UsageError
from engine.loop.session import RunSession
from engine.settings.decode import convert_table, read_toml
from engine.state.node import Node
from engine.workspace import workspace

__all__ = ["Hooks", "RunHooks", "read_hooks"]


class Hooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[hooks]`."""

    on_best: str = ""
    """Run with EVOLVE_RUN, EVOLVE_TASK, EVOLVE_NODE, EVOLVE_SCORE and EVOLVE_FITNESS (higher is better)."""
    on_stop: str = ""
    """Run with EVOLVE_RUN, EVOLVE_TASK, EVOLVE_STATUS and EVOLVE_REASON."""

    def start(self, command: str, **facts: object) -> int | None:
        """Start a hook without waiting for it; it outlives the engine and shares its output.

        Returns:
            The id of its process, which the caller reaps; None if there is no command or it cannot be started.
        """
        if not command:
            return None
        environment = {
            **os.environ,
            **{f"EVOLVE_{key.upper()}": str(value).replace("\0", "") for key, value in facts.items()},
        }
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            sys.stderr.write(f"warning: the hook {command!r} cannot be started: {exc}\n")
            return None
        process.returncode = 0  # it is meant to outlive this object, which else warns that it still runs
        return process.pid


class RunHooks:
    """Start the user's hooks on behalf of one run.

    Args:
        hooks: the user's hooks.
        folder: the run's folder.
        session: the run.
    """

    def __init__(self, hooks: Hooks, folder: Path, session: RunSession) -> None:
        self._hooks, self._folder, self._session = hooks, folder, session
        self._running: set[int] = set()
        """Processes of hooks that have not been reaped."""

    def new_best(self, node: Node) -> None:
        """Start the hook for a new best."""
        facts = {"node": node.id, "score": node.score, "fitness": node.fitness}
        self._start(self._hooks.on_best, facts)

    def ended(self) -> None:
        """Start the hook for the end of the run."""
        state = self._session.state
        facts = {"status": state.status, "reason": state.reason}
        self._start(self._hooks.on_stop, facts)

    def _start(self, command: str, facts: Mapping[str, object]) -> None:
        self._running = {pid for pid in self._running if not _reap(pid)}
        pid = self._hooks.start(command, run=self._folder, task=self._session.spec.name, **facts)
        if pid is not None:
            self._running.add(pid)


def _reap(pid: int) -> bool:
    """Return whether a child has ended, and reap it if so."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True  # an engine that was started with SIGCHLD ignored keeps no children that have ended


def read_hooks() -> Hooks:
    """Read the hooks of the workspace.

    Raises:
        UsageError: config.toml is not TOML, or `[hooks]` has an unknown key or a wrong type.
    """
    path = workspace() / "config.toml"
    table = read_toml(path, UsageError).get("hooks", {}) if path.exists() else {}
    return convert_table(table, Hooks, f"{path}: hooks", UsageError)
