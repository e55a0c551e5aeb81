"""Settings of what a run does if it stands still: the table `standstill`."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ACTIONS", "Action", "StandstillSettings"]

Action = Literal["modes", "model", "lessons", "explore", "restart"]

ACTIONS: tuple[Action, ...] = ("modes", "model", "lessons", "explore", "restart")
"""What a run can do about a standstill, in the order in which people are told of it."""


class StandstillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the run does if no design gains for long."""

    action: Literal["off", "tell", "act"] = "tell"
    """`off`: nothing; `tell`: record it, for people to see; `act`: change the search until a design gains, too."""
    window: int | Literal["auto"] = "auto"
    """Evaluations without a gain after which the run stands still; `auto`: six times as many as its last gains took on
    average, 20 at least."""
    actions: list[Action] = msgspec.field(default_factory=lambda: list(ACTIONS))
    """act: the changes to choose from. `modes`: write whole programs and crossovers more often; `model`: let the strong
    model design; `lessons`: tell the designer what was tried since the last gain, in groups; `explore`: draw parents
    almost evenly; `restart`: go on from good nodes that differ most from the best and from each other."""
    model: str = ""
    """act: name of the strong model; empty: the one whose answers cost most, if prices differ."""

    def __post_init__(self) -> None:
        if isinstance(self.window, int) and self.window < 1:
            raise ValueError(f"`window` must be at least 1, not {self.window}")
        if len(set(self.actions)) < len(self.actions):
            raise ValueError(f"`actions` must name no change twice, not {self.actions}")
