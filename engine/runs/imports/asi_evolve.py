"""Databases of ASI-Evolve: a file nodes.json."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import RunError
from engine.runs.imports.history import History, ImportedNode, is_number, numbers_of, seconds_of

__all__ = ["nodes_in", "read_asi_evolve"]

_LARGEST = 1 << 30


def nodes_in(folder: Path) -> Path | None:
    """Return the nodes.json that a path is, or the one in a folder, a level or two deep; None if there is none."""
    if folder.is_file():
        return folder if folder.name == "nodes.json" else None
    patterns = ("nodes.json", "*/nodes.json", "*/*/nodes.json")
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def read_asi_evolve(path: Path) -> History:
    """Return what the file holds.

    Raises:
        RunError: it cannot be read, or it is no database of ASI-Evolve.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise RunError(f"{path} has more than {_LARGEST >> 30} GiB")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise RunError(f"{path} cannot be read: {exc}") from None
    rows = found.get("nodes", found) if isinstance(found, dict) else found
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RunError(f"{path} is no database of ASI-Evolve: it holds no list of nodes")
    nodes = [_node(row, path) for row in rows]
    return History("ASI-Evolve", nodes, ["ASI-Evolve keeps no node that its database dropped"])


def _node(row: dict[str, Any], path: Path) -> ImportedNode:
    number, code = row.get("id"), row.get("code")
    if not isinstance(number, int) or not isinstance(code, str):
        raise RunError(f"{path} holds a node without id or code")
    figures, more = _table(row.get("results")), _table(row.get("meta_info"))
    inner = _table(figures.get("temp"))
    score: Any = row.get("score", figures.get("eval_score"))
    # An evaluation that raised leaves no results at all, and a score of 0.
    failed = figures.get("success", more.get("success", True)) is not True
    is_scored = not failed and is_number(score)
    reason = inner.get("error") or figures.get("error") or more.get("error") or "it failed"
    analysis, parents = _text(row.get("analysis")), row.get("parent")
    island = more.get("island")
    kept = {name: value for name, value in figures.items() if name not in ("temp", "success", "error")}
    node = ImportedNode(
        key=str(number),
        parents=[str(parent) for parent in parents if isinstance(parent, int)] if isinstance(parents, list) else [],
        code=code,
        at=_milliseconds(row.get("created_at")),
        score=float(score) if is_scored else None,
        seconds=seconds_of(more.get("runtime")),
        metrics=numbers_of(kept),
        name=_text(row.get("name")),
        motivation=_text(row.get("motivation")),
        lesson=analysis,
        feedback=_said(inner),
        island=island if isinstance(island, int) and island >= 0 else None,
    )
    if not is_scored:
        node.reason = str(reason)[-4000:] if failed else f"its score is {score}"
        node.status = "timeout" if node.reason.startswith("Timeout after") else "invalid"
    return node


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _said(inner: dict[str, Any]) -> str:
    """Return what the evaluator left for the analyzer."""
    lines = [f"[{name}] {value}" for name, value in inner.items() if name != "error" and value not in (None, "")]
    return "\n".join(lines)[:20480]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _milliseconds(text: object) -> int:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return 0
    if moment is None:
        return 0
    return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
