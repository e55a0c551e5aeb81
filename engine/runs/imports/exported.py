"""What `evolve export --as openevolve` writes beside OpenEvolve's own fields, so that an import gives the run back."""

from __future__ import annotations

import math
from typing import Any, get_args

from engine.journal.events import Status
from engine.runs.imports.history import ImportedNode, is_number, seconds_of

__all__ = ["EXPORTED", "restore"]

EXPORTED = "evolve"
"""Key of it in a program's metadata, which OpenEvolve keeps as they are."""


def restore(node: ImportedNode, found: dict[str, Any]) -> None:
    """Set what OpenEvolve's fields have no place for; a value of another type is left out."""
    for name in ("name", "motivation", "operator", "reason", "lesson", "note", "feedback"):
        if isinstance(found.get(name), str):
            setattr(node, name, found[name])
    for name in ("parents", "shown"):
        keys = found.get(name)
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            setattr(node, name, keys)
    node.seconds = seconds_of(found.get("seconds"))
    if isinstance(found.get("metrics"), dict):
        node.metrics = {str(key): value for key, value in found["metrics"].items() if _is_kept(value)}
    if found.get("status") == "ok" and is_number(found.get("score")):
        node.score = float(found["score"])
    elif found.get("status") in get_args(Status) and found["status"] != "ok":
        node.score, node.status = None, found["status"]


def _is_kept(value: object) -> bool:
    return isinstance(value, bool | str | int) or value is None or (isinstance(value, float) and math.isfinite(value))
