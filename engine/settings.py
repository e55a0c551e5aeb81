"""Settings of a run: defaults, then config.toml, then the task's `[run]`, then the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from engine.config import convert_table, deep_merge
from engine.errors import EvolveError, UsageError

__all__ = ["DesignerSettings", "RetrievalSettings", "SamplerSettings", "Settings", "check_settings", "merge_settings"]


class SamplerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which nodes a design is shown."""

    name: Literal["ucb1"] = "ucb1"
    c: float = 0.1
    """Weight of the exploration term of UCB1."""
    inspirations: int = 2
    """Nodes shown beside the parent."""


class DesignerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What writes candidates."""

    name: Literal["auto", "recombine", "llm"] = "auto"
    """`auto` is `llm` where a model is configured, else `recombine`."""
    attempts: int = 4
    """Designs tried in a round before it ends without a node."""


class RetrievalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which priors a design is shown."""

    top_k: int = 4
    """Best matches for the context nodes' lessons."""
    drawn: int = 2
    """Further priors drawn by weight, so that what nothing asks for is still tried."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that can be set for a run; `evolve set RUN key=value` changes it while the run goes on."""

    rounds: int = 100
    """Rounds in all, the seeds' round 0 not counted."""
    hours: float | None = None
    """Hours of engine time; then the run stops."""
    usd: float | None = None
    """Spending on models in US dollars; then the run stops."""
    tokens: int | None = None
    """Tokens in and out; then the run stops."""
    target: float | None = None
    """A best score this good finishes the run."""
    patience: int | None = None
    """Rounds without a new best that finish the run."""
    workers: int | None = None
    """Rounds in flight; by default slots + 2."""
    slots: int | None = None
    """Evaluations at once; by default the GPUs for a task that needs one, else the cores."""
    devices: list[int] | None = None
    """Indices of the GPUs that a task which needs one may use; all by default."""
    seed: int = 0
    """Every random draw derives from it."""
    designer: DesignerSettings = DesignerSettings()
    sampler: SamplerSettings = SamplerSettings()
    retrieval: RetrievalSettings = RetrievalSettings()

    def __post_init__(self) -> None:
        for name, least in (("rounds", 0), ("patience", 1), ("workers", 1), ("slots", 1), ("tokens", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, not {value}")


def check_settings(table: Mapping[str, Any], where: str, error: type[EvolveError]) -> None:
    """Raise `error` if a table of settings has an unknown key or a wrong type."""
    convert_table(table, Settings, where, error)


def merge_settings(*tables: tuple[str, Mapping[str, Any]]) -> Settings:
    """Settings from several tables, later ones on top.

    Args:
        tables: pairs of where the table came from (for the message) and the table.

    Raises:
        UsageError: a key is unknown or a value has the wrong type.
    """
    merged: dict[str, Any] = {}
    for where, table in tables:
        check_settings(table, where, UsageError)
        merged = deep_merge(merged, table)
    return convert_table(merged, Settings, "settings", UsageError)
