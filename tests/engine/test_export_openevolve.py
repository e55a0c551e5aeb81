"""A run written as a checkpoint of OpenEvolve: what it resumes from, and what an import gives back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.export import export_checkpoint
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.imports.history import History, ImportedNode
from engine.runs.imports.write import import_run, read_history
from engine.settings.model import SamplerSettings, Settings
from engine.state.fold import fold_run
from engine.task.load import load_task
from tests.conftest import TaskMaker

CODE = "X = {}.0\n\n\ndef point():\n    return X, 1\n"


def a_run(make_task: TaskMaker, runs: Path, direction: str = "maximize") -> Run:
    """Return a run of six nodes: two seeds, a crossover, two failures, and one of another system's strange id."""
    nodes = [
        ImportedNode("a", [], CODE.format(0), 1, -3.0, metrics={"x": 1, "inner.y": 0.5, "none": None}),
        ImportedNode("../b", ["a"], CODE.format(1), 2, -2.0, island=3, operator="diff", name="up", motivation="Go up."),
        ImportedNode("c", ["a"], CODE.format(2), 3, None, status="timeout", reason="it ran out of time", seconds=2.5),
        ImportedNode("d", ["../b", "a"], CODE.format(3), 4, -1.0, operator="crossover", shown=["c"], feedback="says é"),
        ImportedNode(
            "e", ["gone"], CODE.format(4), 5, -2.5, operator="full", lesson="Less is more.", note="# All of it"
        ),
        ImportedNode("f", ["d"], CODE.format(5), 6, None, reason="too large", operator="fix"),
    ]
    task = load_task(make_task())
    if direction == "minimize":
        text = (task.folder / "task.toml").read_text()
        (task.folder / "task.toml").write_text(text.replace('direction = "maximize"', 'direction = "minimize"'))
        task = load_task(task.folder)
    settings = Settings(sampler=SamplerSettings(islands=5))
    return import_run(History("none", nodes), task, settings, runs, "", runs).run


def whole(run: Run) -> list[tuple[Any, ...]]:
    """Return all that a checkpoint must carry of each node."""
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
        notes = {event.node: event.data for event in reader.events_of(ev.AnalyzeDone)}
        return [
            (
                node.parents, reader.text(node.program), node.status, node.score, node.metrics, node.operator,
                node.name, node.motivation, node.reason, node.seconds, node.lesson, notes[node.id], node.shown,
                node.designed_at,
                node.feedback_blob and reader.text(node.feedback_blob), state.best,
            )
            for node in state.nodes
        ]  # fmt: skip


def test_a_checkpoint_gives_the_run_back(tmp_path: Path, make_task: TaskMaker) -> None:
    run = a_run(make_task, tmp_path / "runs")
    assert export_checkpoint(run, tmp_path / "out", False) == 6
    history = read_history(tmp_path / "out")
    again = import_run(history, load_task(tmp_path / "tasks" / "point"), Settings(), tmp_path / "more", "", tmp_path)
    assert whole(again.run) == whole(run)
    assert again.best == again.theirs == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize(("direction", "best"), [("maximize", 3), ("minimize", 0)])
def test_openevolve_starts_from_what_ran(direction: str, best: int, tmp_path: Path, make_task: TaskMaker) -> None:
    out = tmp_path / "out"
    export_checkpoint(a_run(make_task, tmp_path / "runs", direction), out, False)
    programs = [json.loads(path.read_text()) for path in (out / "programs").glob("*.json")]
    by_node = {found["metadata"]["evolve"]["node"]: found for found in programs}
    metadata = json.loads((out / "metadata.json").read_text())
    sign = 1 if direction == "maximize" else -1
    scores = {node: found["metrics"]["combined_score"] for node, found in by_node.items()}
    lowest = -3.0 if direction == "maximize" else 0.0
    assert scores == {0: -3.0 * sign, 1: -2.0 * sign, 2: lowest, 3: -1.0 * sign, 4: -2.5 * sign, 5: lowest}
    assert by_node[2]["metrics"]["error"] == "it ran out of time"
    assert metadata["best_program_id"] == by_node[best]["id"] == metadata["archive"][0]
    assert (out / "best_program.py").read_text() == CODE.format(best)
    on_islands = [key for island in metadata["islands"] for key in island]
    assert sorted(on_islands) == sorted(by_node[node]["id"] for node in (0, 1, 3, 4)), "failures are on none"
    assert len(metadata["islands"]) == len(metadata["island_feature_maps"]) == len(metadata["island_generations"]) == 5
    assert by_node[1]["metadata"]["island"] == 3 and by_node[1]["id"] in metadata["islands"][3]
    assert by_node[3]["parent_id"] == by_node[1]["id"] and by_node[3]["generation"] == 2
    assert (metadata["last_iteration"], by_node[0]["id"]) == (5, "a")
    assert {path.stem for path in (out / "programs").iterdir()} == {found["id"] for found in programs}


def test_nothing_but_a_checkpoint_is_replaced(tmp_path: Path, make_task: TaskMaker) -> None:
    run, out = a_run(make_task, tmp_path / "runs"), tmp_path / "out"
    out.mkdir()
    export_checkpoint(run, out, False)
    with pytest.raises(UsageError, match="is a checkpoint already"):
        export_checkpoint(run, out, False)
    (out / "programs" / "old.json").write_text("{}")
    export_checkpoint(run, out, True)
    assert not (out / "programs" / "old.json").exists()
    with pytest.raises(UsageError, match="is no checkpoint"):
        export_checkpoint(run, run.folder, True)
    with pytest.raises(UsageError, match="is no checkpoint"):
        export_checkpoint(run, run.db, True)
