"""A run of another system, imported by the command, goes on."""

from __future__ import annotations

from pathlib import Path

from engine.runs.folder import Run
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import check_integrity, fold
from tests.engine.test_imports import openevolve


def test_imported_run_goes_on(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    task, runs = make_task(), tmp_path / "runs"
    done = evolve("import", openevolve(tmp_path / "out"), "--task", task, "--name", "n", "--json", "--runs", runs)
    assert done.code == 0, done.err
    made = done.json
    assert (made["run"], made["format"], made["nodes"]) == (str(runs / "n"), "OpenEvolve", 5)
    assert (made["best"], made["best_there"]) == (2, 2)
    ended = evolve("resume", "n", "--headless", "--rounds", 5, "--json", "--runs", runs)
    assert (ended.json["status"], ended.json["rounds"]) == ("finished", 5), ended.err
    state = fold(Run(runs / "n"))
    assert [node.parents for node in state.nodes][:5] == [(), (0,), (), (1,), (3,)]
    assert len(state.nodes) == 6 and state.nodes[5].status == "ok"
    check_integrity(Run(runs / "n"))
