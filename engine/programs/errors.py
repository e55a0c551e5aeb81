"""What is wrong with a program, found without running it."""

from __future__ import annotations

__all__ = ["ProgramError"]


class ProgramError(Exception):
    """A program fails a check.

    Attributes:
        check: `syntax`, `size`, `files`, `interface` or `static`.
        reason: what is wrong and where.
    """

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason
