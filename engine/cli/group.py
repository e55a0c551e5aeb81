"""List commands under headings in the help, and explain a word that is not a command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from engine.errors import UsageError
from engine.task.load import builtin_tasks

__all__ = ["SECTIONS", "CommandGroup"]

SECTIONS = {
    "Start and watch": ("run", "attach", "web", "replay", "resume", "fork", "import", "campaign"),
    "Steer": ("pause", "step", "stop", "set", "inject"),
    "Nodes": ("rerun", "verify", "pin", "unpin", "prune", "restore", "star", "comment", "undo"),
    "Look": ("runs", "status", "digest", "show", "best", "diff", "compare", "events"),
    "Keep and carry": ("export", "tag", "archive", "rename", "delete"),
    "Tasks and priors": ("tasks", "new", "check", "priors", "distil"),
    "This machine": ("doctor", "bench"),
}
"""Headings of `evolve --help`, each with its commands in their order."""

_WHOLE = 10_000


class CommandGroup(TyperGroup):
    """List commands under headings; their help is wrapped and never cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        left = list(self.list_commands(ctx))
        for title, names in (*SECTIONS.items(), ("Commands", tuple(left))):
            shown = [name for name in names if name in left] if ctx.parent is None or title == "Commands" else []
            left = [name for name in left if name not in shown]
            found = [(name, self.get_command(ctx, name)) for name in shown]
            rows = [
                (name, command.get_short_help_str(_WHOLE)) for name, command in found if command and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for a task or a run, name the command that takes it.

        Raises:
            UsageError: the first word is a task or a run, not a command.
        """
        word = args[0]
        if self.get_command(ctx, word) is None and ctx.parent is None:
            typed = shlex.quote(word)
            if word in {folder.name for folder in builtin_tasks()} or (Path(word) / "task.toml").is_file():
                raise UsageError(f"'{word}' is a task, not a command", f"'evolve run {typed}' starts a run of it")
            if (Path(word) / "run.db").is_file():
                raise UsageError(f"'{word}' is a run, not a command", f"'evolve attach {typed}' watches it")
        return super().resolve_command(ctx, args)
