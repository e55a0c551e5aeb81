"""Write the lineage as GraphML, for programs that draw and analyze graphs; networkx reads it back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.export.record import Record
from engine.state.lineage import lineage
from engine.text import visible

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["write_graphml"]

_NOT_XML = re.compile("[\ufffe\uffff]")


def write_graphml(record: Record, path: Path) -> None:
    """Write the graph with typed attributes; a node lacks the attributes that it has no value for.

    A metric is `metric.NAME`: a double if it is a number in every node that has it, else a string.

    Raises:
        OSError: the file cannot be written.
    """
    import networkx as nx

    graph = lineage(record.state)
    state = record.state
    graph.graph |= {
        "run": _text(record.run.name),
        "task": _text(record.start.task),
        "metric": _text(state.spec.metric if state.spec else ""),
        "direction": state.spec.direction if state.spec else "",
        "ranked_by": state.ranking.key,
        "status": record.summary["status"],
        "guarantee": record.guarantee,
        "seed_known": state.seed_known,
    }
    _describe(record, graph)
    nx.write_graphml_xml(graph, path)


def _describe(record: Record, graph: nx.DiGraph[int]) -> None:
    numbers = _numeric(record)
    for node in record.state.nodes:
        attributes: dict[str, Any] = {
            "round": node.round,
            "status": node.status or "",
            "best": node.id == record.state.best,
            "operator": _text(node.operator),
            "name": _text(node.name),
            "lesson": _text(node.lesson),
            "seconds": float(node.seconds),
            "program": node.program,
            "starred": node.starred,
            "pruned": node.pruned,
            "quarantined": node.quarantined,
            "broken": _text(node.broken),
        }
        if node.score is not None:
            attributes["score"] = float(node.score)
        if node.fitness is not None:
            attributes["fitness"] = float(node.fitness)
        for key, value in node.metrics.items():
            if value is not None:
                attributes[f"metric.{_text(key)}"] = float(value) if key in numbers else _text(str(value))
        graph.nodes[node.id].update(attributes)


def _numeric(record: Record) -> set[str]:
    found: dict[str, bool] = {}
    for node in record.state.nodes:
        for key, value in node.metrics.items():
            if value is not None:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                found[key] = found.get(key, True) and number
    return {key for key, number in found.items() if number}


def _text(text: str) -> str:
    """Return the text without characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", visible(text))
