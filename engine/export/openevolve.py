"""Write a run as a checkpoint of OpenEvolve: metadata.json and a JSON file for each program.

OpenEvolve maximises `combined_score`, and a program that failed has a score of 0 there. What its fields have no place
for stands in the metadata of each program, which it keeps as they are, so that an import gives the run back.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from engine.export.record import Record
from engine.journal import events as ev
from engine.runs.imports.exported import EXPORTED
from engine.state.node import Node

__all__ = ["write_openevolve"]

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_MOST_CHANGES = 2000
"""Characters of a program's description, which stands in prompts."""


def write_openevolve(record: Record, folder: Path) -> int:
    """Write a checkpoint into an empty folder, and return how many programs it holds.

    A node whose evaluation has not ended is left out.

    Raises:
        OSError: a file cannot be written.
    """
    state = record.state
    ids = _ids(record)
    nodes = [node for node in state.nodes if node.status is not None]
    sign = 1.0 if state.spec.direction == "maximize" else -1.0
    scores = {node.id: sign * node.score for node in nodes if node.score is not None}
    # A failure scores 0 there. Where scores are negative that would be the best one.
    failed = min([0.0, *scores.values()])
    language, islands = state.spec.language, state.settings.sampler.islands
    shown = _shown(record)
    (folder / "programs").mkdir()
    depth: dict[int, int] = {}
    for node in nodes:
        depth[node.id] = 1 + depth.get(node.parents[0], 0) if node.parents else 0
        metadata: dict[str, Any] = {EXPORTED: _own(record, node, ids, shown.get(node.round, []))}
        if node.parents:
            parent = state.nodes[node.parents[0]]
            metadata["parent_metrics"] = _metrics(parent, scores.get(parent.id, failed))
        written = {
            "id": ids[node.id],
            "code": record.code(node.id),
            "changes_description": _changes(node),
            "language": language.name,
            "parent_id": ids[node.parents[0]] if node.parents else None,
            "generation": depth[node.id],
            "timestamp": node.designed_at / 1000,
            "iteration_found": node.round,
            "metrics": _metrics(node, scores.get(node.id, failed)),
            "complexity": 0.0,
            "diversity": 0.0,
            "metadata": {
                "changes": _changes(node),
                "island": _island(node, islands),
                **metadata,
            },
            "prompts": None,
            "artifacts_json": _artifacts(record, node),
            "artifact_dir": None,
            "embedding": None,
        }
        _dump(folder / "programs" / f"{ids[node.id]}.json", written)
    _dump(folder / "metadata.json", _metadata(record, nodes, scores, ids))
    if state.best is not None:
        best = state.nodes[state.best]
        (folder / language.file("best_program")).write_text(record.code(best.id), encoding="utf-8")
        found = {"id": ids[best.id], "generation": depth[best.id], "iteration": best.round, "language": language.name}
        _dump(folder / "best_program_info.json", {**found, "metrics": _metrics(best, scores.get(best.id, failed))})
    return len(nodes)


def _own(record: Record, node: Node, ids: dict[int, str], shown: list[int]) -> dict[str, Any]:
    """Return what `engine.runs.imports.exported` reads back."""
    return {
        "node": node.id,
        "name": node.name,
        "motivation": node.motivation,
        "operator": node.operator,
        "parents": [ids[parent] for parent in node.parents],
        "shown": [ids[other] for other in shown],
        "status": node.status,
        "score": node.score,
        "metrics": node.metrics,
        "reason": node.reason,
        "seconds": node.seconds,
        "lesson": node.lesson,
        "note": record.notes.get(node.id, ""),
        "feedback": record.reader.text(node.feedback_blob) if node.feedback_blob else "",
    }


def _metadata(record: Record, nodes: list[Node], scores: dict[int, float], ids: dict[int, str]) -> dict[str, Any]:
    """Return the state of OpenEvolve's database: only programs that ran are on islands, so that it starts from none."""
    sampler = record.state.settings.sampler
    ranked = sorted(scores, key=lambda node: (-scores[node], node))
    members: list[list[int]] = [[] for _ in range(sampler.islands)]
    for node in nodes:
        if node.id in scores:
            members[_island(node, sampler.islands)].append(node.id)
    best = record.state.best
    return {
        # Cells depend on the bins of its own configuration: they fill as it goes on.
        "island_feature_maps": [{} for _ in members],
        "islands": [[ids[node] for node in island] for island in members],
        "archive": [ids[node] for node in ranked[: sampler.archive]],
        "best_program_id": None if best is None else ids[best],
        "island_best_programs": [
            ids[max(island, key=lambda node: (scores[node], -node))] if island else None for island in members
        ],
        "last_iteration": max((node.round for node in nodes), default=0),
        "current_island": 0,
        "island_generations": [0] * len(members),
        "last_migration_generation": 0,
        "feature_stats": {},
    }


def _ids(record: Record) -> dict[int, str]:
    """Return a name for each node: the one that another system knows it by, if it was imported and can name a file."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    origins = {
        event.node: event.data.origin
        for event in record.reader.events_of(ev.DesignDone)
        if isinstance(event.data, ev.DesignDone)
    }
    for node in record.state.nodes:
        origin = origins.get(node.id, "")
        if not _SAFE.fullmatch(origin) or origin in taken:
            origin = str(
                uuid.uuid5(uuid.NAMESPACE_OID, f"{record.start.task} {node.id} {node.designed_at} {node.program}")
            )
        taken.add(origin)
        ids[node.id] = origin
    return ids


def _shown(record: Record) -> dict[int, list[int]]:
    """Return the nodes that the design of each round was shown beside its parent."""
    return {
        event.round: event.data.inspirations
        for event in record.reader.events_of(ev.LearnDone)
        if isinstance(event.data, ev.LearnDone) and event.round is not None
    }


def _island(node: Node, islands: int) -> int:
    return (node.id if node.island is None else node.island) % islands


def _changes(node: Node) -> str:
    text = node.name if node.motivation in ("", node.name) else f"{node.name}: {node.motivation}"
    return text[:_MOST_CHANGES]


def _metrics(node: Node, score: float) -> dict[str, Any]:
    known = {name: value for name, value in node.metrics.items() if value is not None and name != "error"}
    failed = {} if node.score is not None else {"error": node.reason or str(node.status)}
    return {"combined_score": score, **{k: v for k, v in known.items() if k != "combined_score"}, **failed}


def _artifacts(record: Record, node: Node) -> str | None:
    if not node.feedback_blob:
        return None
    return json.dumps({"feedback": record.reader.text(node.feedback_blob)})


def _dump(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
