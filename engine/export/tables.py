"""Write a run as JSON, one value for the whole run, or as CSV, one row a node; both node by node."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from engine.export.record import RECOMBINED, Record
from engine.journal.clock import iso_time
from engine.priors.usage import credited, idea_of
from engine.state.lineage import best_path
from engine.state.node import Node
from engine.text import visible

__all__ = ["write_csv", "write_json"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_json(record: Record, path: Path) -> None:
    """Write the whole run: settings, task, nodes with their programs, human acts, costs.

    Raises:
        OSError: the file cannot be written.
    """
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        head = encoder.encode(_head(record))
        file.write(head[:-1] + b',\n"nodes":[')
        for node in record.state.nodes:
            file.write((b",\n" if node.id else b"\n") + encoder.encode(_node(record, node)))
        file.write(b"\n]}\n")


def _head(record: Record) -> dict[str, Any]:
    state, start = record.state, record.start
    return {
        "format": 1,
        **{key: value for key, value in record.summary.items() if key != "nodes"},
        "events": state.seq,
        "forked": msgspec.to_builtins(state.forked),
        "guarantee": record.guarantee,
        "seed_known": state.seed_known,
        "measurements": record.guarantees,
        "designers": record.designers,
        "about": RECOMBINED if record.recombined else "",
        "settings": msgspec.to_builtins(state.settings),
        "spec": start.spec,
        "brief": record.reader.text(start.files.get("brief.md", "")),
        "versions": start.versions,
        "environment": start.environment,
        "engine_seconds": round(state.engine_ms / 1000, 3),
        "usd": state.usd,
        "tokens": state.tokens,
        "calls": [{"role": role, "model": model, **asdict(cost)} for (role, model), cost in record.costs.items()],
        "counts": state.counts,
        "no_design": state.no_design,
        "best_path": best_path(state),
        "improvements": [step._asdict() for step in state.best_steps],
        "human": [act._asdict() for act in record.acts],
        "hints": state.hints,
        "comments": state.comments,
    }


def _node(record: Record, node: Node) -> dict[str, Any]:
    shown = record.shown.get(node.round, []) if node.round else []
    return {
        "id": node.id,
        "parents": list(node.parents),
        "round": node.round,
        "status": node.status,
        "score": node.score,
        "metrics": node.metrics,
        "reason": node.reason,
        "operator": node.operator,
        "name": node.name,
        "motivation": node.motivation,
        "lesson": node.lesson,
        "note": record.notes.get(node.id, ""),
        "priors": list(node.priors),
        "idea": idea_of(node, credited(node, shown)),
        "shown": [{"id": prior.id, "revision": prior.revision, "title": prior.title} for prior in shown],
        "seconds": node.seconds,
        "measurements": node.measurements,
        "spread": node.spread,
        "verified": node.verified,
        "quarantined": node.quarantined,
        "broken": node.broken,
        "front": node.front,
        "hypervolume": node.hypervolume,
        "check": msgspec.to_builtins(node.check),
        "asked": msgspec.to_builtins(node.asked),
        "judge": node.judge,
        "fitness": node.fitness,
        "designed_at": iso_time(node.designed_at),
        "expanded": node.expanded,
        "pinned": node.pinned,
        "pruned": node.pruned,
        "starred": node.starred,
        "comments": node.comments,
        "program": node.program,
        "code": record.code(node.id),
    }


def write_csv(record: Record, path: Path) -> None:
    """Write one row a node; each metric is a column `metric.NAME`, in the order in which they first appear.

    Text is made harmless for terminals, and a cell that a spreadsheet would take for a formula begins with `'`.

    Raises:
        OSError: the file cannot be written.
    """
    metrics = list(dict.fromkeys(key for node in record.state.nodes for key in node.metrics))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_row(record, record.state.nodes[:1]), *(_text(f"metric.{key}") for key in metrics)])
        for node in record.state.nodes:
            row = _row(record, [node])
            writer.writerow([*row.values(), *(_cell(node.metrics.get(key)) for key in metrics)])


def _row(record: Record, nodes: list[Node]) -> dict[str, Any]:
    """Return a node's row, column to cell; without a node only the columns count."""
    node = nodes[0] if nodes else Node(0, 0, (), "", "", "", "", (), 0)
    return {
        "id": node.id,
        "parents": " ".join(map(str, node.parents)),
        "round": node.round,
        "status": node.status or "",
        "score": _cell(node.score),
        "best": int(node.id == record.state.best),
        "operator": _text(node.operator),
        "name": _text(node.name),
        "motivation": _text(node.motivation),
        "lesson": _text(node.lesson),
        "reason": _text(node.reason),
        "priors": _text(" ".join(node.priors)),
        "idea": idea_of(node, credited(node, record.shown.get(node.round, []))),
        "seconds": node.seconds,
        "measurements": node.measurements,
        "spread": _cell(node.spread),
        "verified": _cell(node.verified),
        "quarantined": int(node.quarantined),
        "broken": _text(node.broken),
        "front": _cell(node.front),
        "hypervolume": _cell(node.hypervolume),
        "judge": _cell(node.judge),
        "fitness": _cell(node.fitness),
        "designed_at": iso_time(node.designed_at),
        "pinned": int(node.pinned),
        "pruned": int(node.pruned),
        "starred": int(node.starred),
        "comments": _text("\n".join(node.comments)),
        "program": node.program,
    }


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return repr(value)
    return _text(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _text(text: str) -> str:
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
