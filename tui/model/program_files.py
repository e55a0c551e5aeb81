"""The files of a program that is a folder, each with what became of it since another program."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from engine.programs.errors import ProgramError
from engine.programs.folders import split_files

__all__ = ["ProgramFile", "compare_files", "files_of"]

Change = Literal["same", "changed", "new", "deleted"]
_MOST_LINES = 20_000


@dataclass(frozen=True)
class ProgramFile:
    """A file of a program."""

    path: str
    size: int
    """Bytes; of a deleted file those that it had."""
    change: Change
    added: int = 0
    """Lines that the other program's file lacks."""
    removed: int = 0
    """Lines that it had more."""


def files_of(code: str) -> dict[str, str]:
    """Return the texts of a program's files by path; none of a program that is not parted into files."""
    try:
        return split_files(code)
    except ProgramError:
        return {}


def compare_files(before: str | None, code: str) -> list[ProgramFile]:
    """Return a program's files and those that it lost, by path.

    Args:
        before: the program to compare with; without one nothing is changed.
        code: the program.
    """
    new = files_of(code)
    old = new if before is None else files_of(before)
    return [_compared(path, old.get(path), new.get(path)) for path in sorted({*old, *new})]


def _compared(path: str, old: str | None, new: str | None) -> ProgramFile:
    text = old if new is None else new
    size = len((text or "").encode("utf-8", "surrogatepass"))
    if old == new:
        return ProgramFile(path, size, "same")
    left, right = ([] if text is None else text.splitlines() for text in (old, new))
    change: Change = "new" if old is None else "deleted" if new is None else "changed"
    if change != "changed" or len(left) + len(right) > _MOST_LINES:
        return ProgramFile(path, size, change, len(right), len(left))
    codes = [code for code in difflib.SequenceMatcher(None, left, right).get_opcodes() if code[0] != "equal"]
    added = sum(end - start for _, _, _, start, end in codes)
    return ProgramFile(path, size, change, added, sum(end - start for _, start, end, _, _ in codes))
