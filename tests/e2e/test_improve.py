"""Tasks of the kind `improve`: each program is handed what the one it was made from has constructed."""

from __future__ import annotations

import json
from pathlib import Path

from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from tests.conftest import Evolve, TaskMaker

SEED = """\
STEP = 0.1  # tune: scale 0.01..1


def point():
    return [0.5, 0.25]


def better(start):
    return [start[0] + STEP, start[1] + STEP / 3]
"""
EVALUATE = """\
import evolve_task


def evaluate(program_path, report):
    answer = evolve_task.call("point") if report.given is None else evolve_task.call("better", report.given)
    x, y = answer
    report.keep(answer)
    return {"score": -((x - 3.0) ** 2) - (y - 1.0) ** 2}
"""


def folder_of(make_task: TaskMaker) -> Path:
    folder = make_task(seed=SEED, evaluate=EVALUATE, guarded=True)
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(text.replace('["point"]\n', '["point"]\nimproving = ["better"]\n'))
    return folder


def check(run: Run) -> RunState:
    """Assert that every program improved what its parent had constructed, and return the state."""
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
        constructed = [reader.text(node.construction_blob) for node in state.nodes]
        assert json.loads(constructed[0]) == [0.5, 0.25] and not state.nodes[0].given_blob
        for node in state.nodes[1:]:
            assert reader.text(node.given_blob) == constructed[node.parents[0]]
            program: dict[str, object] = {}
            exec(reader.text(node.program), program)
            better = program["better"]
            assert callable(better)
            assert json.loads(constructed[node.id]) == better(json.loads(constructed[node.parents[0]]))
    return state


def test_programs_improve_what_their_parents_constructed(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    folder, runs = folder_of(make_task), tmp_path / "runs"
    told = ("--headless", "--json", "--runs", runs)
    first = evolve("run", folder, "--kind", "improve", "--rounds", 5, "--set", "workers=1", "--name", "a", *told)
    run = Run(Path(first.json["run"]))
    state = check(run)
    assert len(state.nodes) == 6 and state.spec.kind == "improve"
    best = state.best_node
    assert best is not None and best.score is not None and best.id > 0
    # As another search from there, and the same node once more.
    fork = evolve("fork", "a", "--name", "b", "--json", "--runs", runs)
    assert fork.code == 0, fork.err
    resumed = evolve("resume", "b", "--rounds", 8, *told)
    assert len(check(Run(Path(resumed.json["run"]))).nodes) == 9
    verified = evolve("verify", "a", best.id, "--fresh", 1, "--json", "--runs", runs)
    assert verified.json["draws"][0]["score"] == best.score
    shown = evolve("show", "a", best.id, "--runs", runs).out
    assert "construction kept, improved from an earlier one" in shown


def test_constructions_are_not_kept_without_that_kind(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    told = ("--rounds", 1, "--headless", "--json", "--runs", tmp_path / "runs")
    done = evolve("run", folder_of(make_task), *told)
    with JournalReader(Run(Path(done.json["run"])).db) as reader:
        state = fold_run(reader)
    assert not any(node.construction_blob or node.given_blob for node in state.nodes)
