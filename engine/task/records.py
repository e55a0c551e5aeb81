"""Records: the best values that are known for a task, from `records.toml`, and how far a score has come to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import TaskError
from engine.settings.decode import convert_table, read_toml

__all__ = ["Record", "best_record", "read_records", "share_of_way"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that somebody has reached."""

    value: float
    """The score."""
    who: str
    """Who found it, in a few words."""
    year: int
    """When it was published."""
    source: str
    """Where that can be read."""
    settings: dict[str, Any] = {}
    """The settings of its instance that differ from those in task.toml."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"`value` must be a finite number, not {self.value}")
        for name in ("who", "source"):
            if not getattr(self, name).strip():
                raise ValueError(f"`{name}` of the record {self.value} is empty")


class _Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: list[Record]


def read_records(folder: Path) -> list[Record]:
    """Return the records in a task folder's `records.toml`; none if there is no such file.

    Raises:
        TaskError: the file cannot be read as records; the message names the key.
    """
    path = folder / "records.toml"
    if not path.is_file():
        return []
    return convert_table(read_toml(path, TaskError), _Records, str(path), TaskError).record


def best_record(
    records: Sequence[Record], settings: dict[str, Any], direction: Literal["maximize", "minimize"]
) -> Record | None:
    """Return the best record of an instance; None if none is known.

    Args:
        records: those of all instances.
        settings: the task's settings. A record that names none is of the instance that no other record is of.
        direction: whether a higher or a lower value is better.
    """
    named = [
        record
        for record in records
        if record.settings and all(settings.get(key) == value for key, value in record.settings.items())
    ]
    found = named or [record for record in records if not record.settings]
    sign = 1.0 if direction == "maximize" else -1.0
    return max(found, key=lambda record: sign * record.value, default=None)


def share_of_way(score: float, seed: float, record: float) -> float | None:
    """Return how much of the way from the seed's score to the record a score is; None if there is no way to go."""
    return None if seed == record else (score - seed) / (record - seed)
