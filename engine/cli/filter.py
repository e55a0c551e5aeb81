"""`--filter EXPR`: select nodes with the expressions that the application's `&` takes."""

from __future__ import annotations

from engine.errors import UsageError
from engine.state.lineage import best_path
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["filtered"]


def filtered(state: RunState, expression: str) -> list[Node]:
    """Return the nodes that an expression holds for, in their order.

    Raises:
        UsageError: a part of the expression cannot be understood.
    """
    from tui.model.query import QueryError, parse_query
    from tui.model.rates import numbers_of
    from tui.model.run_model import has_mark

    best = frozenset(best_path(state))
    metrics = dict.fromkeys(name for node in state.nodes for name in numbers_of(node.metrics))

    def is_marked(mark: str, node: Node) -> bool:
        return node.id in best if mark == "best" else has_mark(node, mark)

    try:
        query = parse_query(expression, is_marked, metrics, state.ranking.metric)
    except QueryError as exc:
        raise UsageError(f"--filter {expression}: {exc}") from None
    return [node for node in state.nodes if query(node)]
