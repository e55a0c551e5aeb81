"""Settings of what is refused before an evaluation because it resembles what was measured: the table `novelty`."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["NoveltySettings"]


class NoveltySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to programs that resemble others. Exact duplicates are always refused."""

    near: Literal["off", "lines", "meaning"] = "off"
    """`lines`: have a program written anew if it shares so many lines with a measured one that, by this run's own
    experience, it behaves the same; `meaning`: by the meaning of the lines that differ, too; `off`: measure all."""
    asks: int = 1
    """lines, meaning: how often in a round; what is near after that is measured."""
    probe: bool = True
    """Take over the score of a node that behaves the same in the task's probe, if it has one."""
    returned: bool = True
    """Tell a model of lines that were deleted on the way to the parent and that designs have put back since."""

    def __post_init__(self) -> None:
        if self.asks < 1:
            raise ValueError(f"`asks` must be at least 1, not {self.asks}")
