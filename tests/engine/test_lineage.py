"""Who comes from whom, against a plain walk over the parents."""

from __future__ import annotations

import subprocess
import sys

import networkx as nx
from hypothesis import given

from engine.journal import events as ev
from engine.state.lineage import ancestors, best_path, descendants, first_parents, lineage
from tests.engine.test_state import fold, journals


@given(journals())
def test_the_graph_is_what_the_nodes_say(events: list[ev.Event]) -> None:
    state = fold(events)
    graph = lineage(state)
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph.edges) == {(parent, node.id) for node in state.nodes for parent in node.parents}
    above: dict[int, set[int]] = {}
    for node in state.nodes:
        above[node.id] = set(node.parents).union(*(above[parent] for parent in node.parents))
        assert ancestors(graph, node.id) == above[node.id]
        assert first_parents(state, node.id)[-1] == node.id
        assert not state.nodes[first_parents(state, node.id)[0]].parents
    for node in state.nodes:
        assert descendants(graph, node.id) == {other for other, found in above.items() if node.id in found}
    assert best_path(state)[-1] == state.best


def test_nothing_that_starts_often_loads_networkx_or_jinja2() -> None:
    code = (
        "import sys, engine.state.lineage, engine.loop.serve, engine.export, engine.cli\n"
        "from engine.cli import acts, bench, control, doctor, export, fork, look, tasks\n"
        "print(sorted({'networkx', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
