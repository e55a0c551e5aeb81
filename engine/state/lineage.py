"""Ancestry of nodes: the nodes of a run as a directed graph, and the path that led to the best.

Functions that need networkx load it themselves, so that starts of the engine and the command line do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.state.run_state import RunState

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ancestors", "best_path", "descendants", "first_parents", "lineage"]


def lineage(state: RunState) -> nx.DiGraph[int]:
    """Return the graph of all nodes, an edge from each parent to its child.

    Edges carry `order`: 0 for the parent that was edited, 1 and more for those that gave parts. The graph has no
    cycles, since a parent always comes before its children.
    """
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(node.id for node in state.nodes)
    for node in state.nodes:
        for order, parent in enumerate(node.parents):
            graph.add_edge(parent, node.id, order=order)
    return graph


def ancestors(graph: nx.DiGraph[int], node: int) -> set[int]:
    """Return all ancestors of a node, by any parent."""
    import networkx as nx

    return set(nx.ancestors(graph, node))


def descendants(graph: nx.DiGraph[int], node: int) -> set[int]:
    """Return all descendants of a node, by any parent."""
    import networkx as nx

    return set(nx.descendants(graph, node))


def first_parents(state: RunState, node: int) -> list[int]:
    """Return the path from a seed to a node by the parents that were edited, both ends included."""
    path = [node]
    while parents := state.nodes[path[-1]].parents:
        path.append(parents[0])
    return path[::-1]


def best_path(state: RunState) -> list[int]:
    """Return the path from a seed to the best node; empty if no node has a score."""
    return [] if state.best is None else first_parents(state, state.best)
