"""What a prior gained in the run that is shown: over its rounds, and node by node."""

from __future__ import annotations

from engine.state.node import Node
from engine.text import one_line
from tui.model.document import Line, Span, curve_lines, table_lines
from tui.model.labels import outcome, short_score
from tui.model.run_model import RunModel

__all__ = ["gain_lines", "gains_by_prior", "gains_of"]

_NODES = 20
"""The most nodes that are named."""
_ROWS = 6


def gains_by_prior(model: RunModel) -> dict[str, list[tuple[Node, float | None]]]:
    """Return the nodes that each prior went into, each with its change on its parent; O(nodes)."""
    found: dict[str, list[tuple[Node, float | None]]] = {}
    for node in model.state.nodes:
        for prior in node.priors:
            found.setdefault(prior, []).append((node, _change(model, node)))
    return found


def gains_of(model: RunModel, prior: str) -> list[tuple[Node, float | None]]:
    """Return the nodes that a prior went into, each with its change on its parent; O(nodes)."""
    return [(node, _change(model, node)) for node in model.state.nodes if prior in node.priors]


def _change(model: RunModel, node: Node) -> float | None:
    parent = model.parent(node)
    return model.state.ranking.gain(node, parent) if parent is not None else None


def gain_lines(model: RunModel, prior: str, width: int) -> list[Line]:
    """Return a plot of the changes over the rounds, and the nodes, the newest first."""
    gains = gains_of(model, prior)
    if not gains:
        return []
    known = [gain for _, gain in gains if gain is not None]
    said = f"  used in {len(gains):,} nodes"
    if known:
        better = sum(gain > model.state.noise for gain in known)
        said += f", {better:,} better than the parent, mean change {sum(known) / len(known):+.4g}"
    lines: list[Line] = [(), (Span("in this run", "heading"), Span(said, "dim"))]
    points = [(float(node.round), {"change on the parent, by round": gain}) for node, gain in gains if gain is not None]
    lines += curve_lines(points, max(20, min(80, width - 14)), _ROWS)
    rows = [
        (
            f"#{node.id} {one_line(node.name, 50)}", f"r{node.round}", outcome(model, node),
            "" if gain is None else f"{'+' if gain >= 0 else ''}{short_score(gain)}",
        )
        for node, gain in reversed(gains[-_NODES:])
    ]  # fmt: skip
    lines += table_lines(("node", "round", "result", "change"), rows)
    if len(gains) > _NODES:
        lines.append((Span(f"… and {len(gains) - _NODES:,} before them", "dim"),))
    return lines
