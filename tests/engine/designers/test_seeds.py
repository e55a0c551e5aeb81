"""Real runs improve programs with parameters in a list, a dict, an array, a dataclass and keyword arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.programs.outline import outline
from engine.state.node import Node
from tests.e2e.runs import finish, make_run

TASKS = Path(__file__).parent / "tasks"
ROUNDS = 15


def searched(folder: Path, name: str, seed: int) -> list[tuple[Node, str]]:
    """Run recombination alone and return the nodes with their programs."""
    designer = {"name": "recombine"}
    run = make_run(TASKS / name, folder, rounds=ROUNDS, workers=1, slots=1, seed=seed, designer=designer)
    state = finish(run, timeout=110)
    with JournalReader(run.db) as reader:
        return [(node, reader.text(node.program)) for node in state.nodes]


@pytest.mark.parametrize(
    ("name", "direction", "seed"),
    [("polynomial", -1, 1), ("bin_packing", 1, 3), ("quantizer", -1, 3), ("controller", -1, 3), ("tour", -1, 3)],
    ids=["list", "dict", "array", "dataclass", "keywords"],
)
def test_run_improves_parameters_at_every_place(tmp_path: Path, name: str, direction: int, seed: int) -> None:
    nodes = [node for node, _ in searched(tmp_path, name, seed)]
    assert len(nodes) == 1 + ROUNDS, "every round had something to recombine"
    scores = [direction * node.score for node in nodes if node.score is not None]
    assert max(scores) > scores[0]
    assert {node.operator for node in nodes[1:]} <= {"tune", "exchange", "drop"}


def test_same_seed_gives_same_nodes_and_titles_name_changes(tmp_path: Path) -> None:
    first, second = (searched(tmp_path / part, "bin_packing", 7) for part in ("first", "second"))

    def kept(node: Node) -> tuple[object, ...]:
        return node.operator, node.parents, node.program, node.status, node.score, node.name

    assert [kept(node) for node, _ in first] == [kept(node) for node, _ in second]
    parts = [outline(program).parts for _, program in first]
    assert len({outline(program).digest for _, program in first}) == len(first), "no program comes twice"
    for node, _ in first[1:]:
        before, after = parts[node.parents[0]], parts[node.id]
        changed = {name for name in before if before[name] != after[name]}
        assert changed, "every node differs from its parent"
        # The functions hold loose numbers of their own, so that some titles may name those.
        told = {"CONFIG": "CONFIG[", "score": "score", "pack": "pack"}
        more = " more" in node.name
        assert all((told[name] in node.name) == (name in changed) or more for name in told), node.name
