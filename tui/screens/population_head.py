"""The title above the population: its order, its filter, the cursor's place, and what is followed."""

from __future__ import annotations

from tui.model.run_model import RunModel
from tui.widgets.painted import Piece
from tui.widgets.tree import TreeView

__all__ = ["population_head"]

_ORDERS = {"tree": "", "best": "best first ", "newest": "newest first ", "islands": "by island "}


def population_head(tree: TreeView, model: RunModel | None) -> list[Piece]:
    """Return the title's pieces."""
    shown = _ORDERS[tree.order] if tree.table is None else f"by {tree.table.sorted_by} "
    if tree.query_ is not None:
        shown += f"only {tree.query_.text} "
    # If a row has two numbers, name them.
    two = tree.table is None and model is not None and model.state.ranking.by_fitness
    counts = model.state.counts if model is not None else {}
    failed = sum(count for status, count in counts.items() if status != "ok")
    return [
        (" Population  ", "heading"),
        ("fitness, score  " if two else "", "dim"),
        (shown, "accent"),
        (tree.position, "plain"),
        (f"  {failed:,} failed" if failed else "", "dim"),
        (f"  follows the {tree.following}" if tree.following else "", "accent"),
    ]
