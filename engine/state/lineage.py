"""Who comes from whom: the nodes of a run as a directed graph, and the path that led to the best.

networkx is loaded by what needs it, and by nothing that a start of the engine or the command line goes through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.state.run_state import RunState

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ancestors", "best_path", "descendants", "first_parents", "lineage"]


def lineage(state: RunState) -> nx.DiGraph[int]:
    """The graph of all nodes, an edge from each parent to its child.

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
    """All nodes that something of this one came from, by any parent."""
    import networkx as nx

    return set(nx.ancestors(graph, node))


def descendants(graph: nx.DiGraph[int], node: int) -> set[int]:
    """All nodes into which something of this one went, by any parent."""
    import networkx as nx

    return set(nx.descendants(graph, node))


def first_parents(state: RunState, node: int) -> list[int]:
    """The path to a node from its seed by the parents that were edited, both ends included."""
    path = [node]
    while parents := state.nodes[path[-1]].parents:
        path.append(parents[0])
    return path[::-1]


def best_path(state: RunState) -> list[int]:
    """The path to the best node from its seed; empty where no node has a score."""
    return [] if state.best is None else first_parents(state, state.best)
