"""Count the usable answers of a model in a run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.journal.events import CallDone
from engine.state.bandit import DesignRecord
from engine.state.node import OpenRound

__all__ = ["ModelRecord", "count_answer"]

_LOOKED_AT = 6
"""Newest answers that say whether a model keeps to the form."""
_LEAST = 4
"""Answers before anything is said of a model."""
_TOO_MANY = 2 / 3
"""Share of unusable answers from which a model counts as failing."""


class ModelRecord(DesignRecord, gc=False):
    """What one model has shown."""

    usable: list[bool] = msgspec.field(default_factory=list)
    """Whether each of its newest designs could be used, oldest first."""
    brief: bool = False
    """Whether it gets the short form of prompts, since it failed at the long one."""
    endpoint: tuple[str, str] = ("", "")
    """Address and name of the model that has shown what follows."""
    reading: float = 0.0
    """Tokens of a prompt that it reads in a second; 0 if it has not shown it."""
    characters: float = 0.0
    """Characters of a prompt in a token; 0 if that is not known."""

    def count(self, usable: bool) -> None:
        """Take in one design."""
        self.usable.append(usable)
        del self.usable[:-_LOOKED_AT]

    @property
    def fails(self) -> bool:
        """Whether most of its newest designs could not be used."""
        return len(self.usable) >= _LEAST and self.usable.count(False) >= _TOO_MANY * len(self.usable)


def count_answer(
    records: dict[str, ModelRecord],
    answered: Mapping[tuple[int | None, int | None, str], CallDone],
    round_: OpenRound,
    usable: bool,
) -> None:
    """Count whether the answer to a round's newest attempt could be used, if a model gave one.

    Args:
        records: what each model has shown.
        answered: the calls of open rounds.
        round_: the round.
        usable: whether a program came of it that passed its checks.
    """
    done = answered.get((round_.round, None, f"design/{len(round_.rejected)}"))
    if done is not None and not done.error:
        records.setdefault(done.model, ModelRecord()).count(usable)
