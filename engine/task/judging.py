"""What is told of a task's metrics, and the criteria by which a model judges its programs."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

__all__ = ["Criterion", "JudgeSpec", "MetricSpec", "is_name"]


def is_name(text: str) -> bool:
    """Return whether a text can name a task or a criterion: it has letters, digits, `_` and `-` only."""
    return text.isascii() and text.replace("_", "a").replace("-", "a").isalnum()


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A criterion by which a model judges programs."""

    name: str
    """Letters, digits, `_` and `-`; the key of the judge's score."""
    text: str
    """The criterion in words, so clear that two readers would agree."""
    weight: float = 1.0
    """Its share in the judge's mark."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"`name` may hold letters, digits, '_' and '-' only, not {self.name!r}")
        if not self.text.strip():
            raise ValueError(f"`text` of the criterion '{self.name}' is empty")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a number from 0, not {self.weight}")


class MetricSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[metrics]`: what designers are told of a metric beside its values."""

    direction: Literal["maximize", "minimize"] | None = None
    """Whether a higher or a lower value is better; by default neither."""
    text: str = ""
    """What it means, in a few words."""


class JudgeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[judge]`: the criteria by which a model judges programs; `fitness.judge` sets the weight of its mark."""

    criteria: list[Criterion]

    def __post_init__(self) -> None:
        names = [criterion.name for criterion in self.criteria]
        if not names:
            raise ValueError("`criteria` must hold at least one criterion")
        if len(set(names)) < len(names):
            raise ValueError(f"`criteria` names one twice: {names}")
        if not any(criterion.weight for criterion in self.criteria):
            raise ValueError("`criteria` must leave at least one of them a weight")
