"""Errors that reach the user.

EvolveError              a fault that a person can act on
├── UsageError           the command line asks for something impossible (exit code 2)
├── TaskError            a task folder has a mistake
├── RunError             a run cannot be found, opened, locked or written
└── JournalError         run.db is damaged, foreign or cannot be written

Stopping                 the engine is ending; never shown to a user
"""

from __future__ import annotations

__all__ = ["EvolveError", "JournalError", "RunError", "Stopping", "TaskError", "UsageError"]


class EvolveError(Exception):
    """A mistake or fault that the user can act on: what happened, where, and what to do.

    Args:
        message: what happened and where, one sentence without a full stop at the end.
        hint: what to do about it; empty if the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(EvolveError):
    """The command line asks for something impossible."""

    exit_code = 2


class TaskError(EvolveError):
    """A task folder has a mistake."""

    exit_code = 2


class RunError(EvolveError):
    """A run cannot be found, opened, locked or written."""


class JournalError(EvolveError):
    """run.db is damaged, is not ours, or cannot be written."""


class Stopping(Exception):
    """The engine is ending: the round stays open and goes on at the next start."""
