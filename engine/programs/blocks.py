"""EVOLVE-BLOCKs: marks in a program between which it may change, as OpenEvolve and ShinkaEvolve write them.

A mark is a line that holds `EVOLVE-BLOCK-START` or `EVOLVE-BLOCK-END`, after whatever sign begins a comment. The marks
belong to what stays.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.programs.outline import ProgramError

__all__ = ["Blocks", "keep_outside", "read_blocks"]

_MARK = re.compile(r"EVOLVE-BLOCK-(START|END)")


class Blocks(NamedTuple):
    """A program, parted at its marks."""

    outside: list[str]
    """The texts before, between and after the blocks, marks included; one more than there are blocks."""
    inside: list[str]


def read_blocks(code: str) -> Blocks | None:
    """Return a program's blocks; None if it has none, or if a mark lacks its partner."""
    if "EVOLVE-BLOCK" not in code:
        return None
    outside: list[str] = []
    inside: list[str] = []
    kept: list[str] = []
    is_inside = False
    for line in code.splitlines(keepends=True):
        mark = _MARK.search(line)
        if mark is None:
            kept.append(line)
            continue
        if (mark[1] == "START") is is_inside:
            return None
        if is_inside:
            inside.append("".join(kept))
            kept = [line]
        else:
            outside.append("".join([*kept, line]))
            kept = []
        is_inside = not is_inside
    if is_inside:
        return None
    return Blocks([*outside, "".join(kept)], inside)


def keep_outside(parent: str, code: str) -> str:
    """Return a program with the parent's text outside its blocks.

    Args:
        parent: the program that it was made from; if that has no blocks, the program stays as it is.
        code: the program.

    Raises:
        ProgramError: it has not as many blocks as the parent.
    """
    before = read_blocks(parent)
    if before is None:
        return code
    after = read_blocks(code)
    if after is None or len(after.inside) != len(before.inside):
        count = len(before.inside)
        raise ProgramError(
            "blocks",
            f"it must keep the {count} pair{'s' if count > 1 else ''} of lines EVOLVE-BLOCK-START and "
            "EVOLVE-BLOCK-END and change only what is between them",
        )
    parts = [text for pair in zip(before.outside, after.inside, strict=False) for text in pair]
    return "".join([*parts, before.outside[-1]])
