"""A row of the tree: what came of a node, its place below its parents, and what was changed."""

from __future__ import annotations

from engine.state.node import Node
from engine.text import one_line
from tui.model.forest import Forest
from tui.model.labels import beside, marks, outcome
from tui.model.moves import operator_look, short_moves
from tui.model.run_model import RunModel
from tui.model.table import MARKED

__all__ = ["guide", "node_pieces"]

Piece = tuple[str, str]

_LOOKS = {
    "ok": "ok",
    "rejected": "dim",
    "invalid": "bad",
    "crashed": "bad",
    "timeout": "bad",
    "cancelled": "dim",
}


def node_pieces(model: RunModel, node: Node, place: str, marked: bool, width: int) -> list[Piece]:
    """Return marks, fitness or score, the score if nodes are ranked by fitness, then the node below its parent.

    Args:
        model: the run.
        node: the node.
        place: what stands before its number, as of `guide`.
        marked: whether the user has marked it.
        width: columns of the row.
    """
    pruned = node.pruned
    result = f"{marks(model, node)} {outcome(model, node):>9} "
    score = f"{beside(model, node):>9} " if model.state.ranking.by_fitness else ""
    look = "best" if node.id == model.state.best else "dim" if pruned else _LOOKS.get(node.status or "", "dim")
    if (node.quarantined or node.broken) and not pruned:
        look = "bad"
    operator = f"{one_line(node.operator, 24)} "
    number = f"#{node.id}{MARKED if marked else ''} "
    taken = len(result) + len(score) + len(place) + len(number) + len(operator)
    moves = short_moves(node.name, node.operator, max(0, width - taken))
    return [
        (result, look),
        (score, "dim"),
        (place + number, "dim"),
        (operator, "dim" if pruned else operator_look(node.operator)),
        (moves, "dim" if pruned else "plain"),
    ]


def guide(forest: Forest, node: int, base: int, levels: int) -> str:
    """Return the lines from a node to its ancestors, and whether anything is below it.

    Args:
        forest: the tree.
        node: the node's id.
        base: the depth that is drawn at the left edge.
        levels: how many levels are drawn; the rest is a number.
    """
    depth = forest.depths[node]
    shown = depth - base
    left = f"‹{base} " if base else ""
    if shown < 0:
        left, shown = f"‹{depth} ", 0
    beyond = max(0, shown - levels)
    lines = left + "│ " * min(shown, levels) + (f"+{beyond} " if beyond else "")
    below = forest.descendants[node]
    if node in forest.folded:
        return f"{lines}▸{below} "
    return lines + ("▾ " if below else "· ")
