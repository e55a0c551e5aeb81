"""Errors that reach the user.

EvolveError              a fault that a person can act on
├── UsageError           the command line asks for something impossible (exit code 2)
├── TaskError            a task folder has a mistake
├── RunError             a run cannot be found, opened, locked or written
└── JournalError         run.db is foreign or cannot be read or written
    └── DamagedJournal   what run.db holds cannot be read, or its events contradict each other

Stopping                 the engine is ending; never shown to a user
"""

from __future__ import annotations

__all__ = ["DamagedJournal", "EvolveError", "JournalError", "RunError", "Stopping", "TaskError", "UsageError"]


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
    """run.db is not ours, or cannot be read or written."""


class JournalBusy(JournalError):
    """Another process holds the journal at this moment; a little later it can be read."""


class DamagedJournal(JournalError):
    """What run.db holds cannot be read, or its events contradict each other.

    Args:
        reason: what is wrong, one clause.
        seq: the event at which it shows; 0 if it is not known.
        where: the file, if it is known.
    """

    def __init__(self, reason: str, seq: int = 0, where: object = "the journal") -> None:
        place = f" at event {seq}" if seq else ""
        super().__init__(f"{where} is damaged{place}: {reason}")
        self.reason = reason
        self.seq = seq


class Stopping(Exception):
    """The engine is ending: the round stays open and goes on at the next start."""
