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

    def start(self, command: str, **facts: object) -> None:
        """Start a hook without waiting for it; it outlives the engine and shares its output."""
        if not command:
            return
        environment = {
            **os.environ,
            **{f"EVOLVE_{key.upper()}": str(value).replace("\0", "") for key, value in facts.items()},
        }
        try:
            subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            sys.stderr.write(f"warning: the hook {command!r} cannot be started: {exc}\n")


class RunHooks:
    """Start the user's hooks on behalf of one run.

    Args:
        hooks: the user's hooks.
        folder: the run's folder.
        session: the run.
    """

    def __init__(self, hooks: Hooks, folder: Path, session: RunSession) -> None:
        self._hooks, self._folder, self._session = hooks, folder, session

    def new_best(self, node: Node) -> None:
        """Start the hook for a new best."""
        facts = {"node": node.id, "score": node.score, "fitness": node.fitness}
        self._hooks.start(self._hooks.on_best, run=self._folder, task=self._session.spec.name, **facts)

    def ended(self) -> None:
        """Start the hook for the end of the run."""
        state = self._session.state
        facts = {"status": state.status, "reason": state.reason}
        self._hooks.start(self._hooks.on_stop, run=self._folder, task=self._session.spec.name, **facts)


def read_hooks() -> Hooks:
    """Read the hooks of the workspace.

    Raises:
        UsageError: config.toml is not TOML, or `[hooks]` has an unknown key or a wrong type.
    """
    path = workspace() / "config.toml"
    table = read_toml(path, UsageError).get("hooks", {}) if path.exists() else {}
    return convert_table(table, Hooks, f"{path}: hooks", UsageError)
