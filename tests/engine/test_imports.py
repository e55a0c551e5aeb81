"""Runs of other systems become journals: the same programs, scores and lines of descent."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.calls import calls_of_run
from engine.runs.fork import fork_run
from engine.runs.imports.history import ImportedNode, in_order, numbers_of, score_by
from engine.runs.imports.write import Imported, import_run, read_history
from engine.settings.model import Settings
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.load import load_task
from engine.task.spec import ProgramSpec
from tests.conftest import TaskMaker

CODE = "X = {}.0\n\n\ndef point():\n    return X, 1\n"


def openevolve(folder: Path, **changed: Any) -> Path:
    """Write a checkpoint of five programs; `changed` replaces records by their ids."""
    (folder / "checkpoints" / "checkpoint_9").mkdir(parents=True)
    place = folder / "checkpoints" / "checkpoint_40"
    (place / "programs").mkdir(parents=True)
    parents = {"a": None, "b": "a", "c": "gone", "d": "b", "e": "d"}
    metrics: dict[str, Any] = {
        "a": {"combined_score": -1.5}, "b": {"combined_score": -1.0, "inner": {"x": 2}}, "c": {"score": -0.25},
        "d": {"error": 0.0, "timeout": True}, "e": {"error": "no module x", "combined_score": 0},
    }  # fmt: skip
    for number, (key, parent) in enumerate(parents.items()):
        record = {
            "id": key, "code": CODE.format(number), "parent_id": parent, "timestamp": 1.7e9 + number,
            "metrics": metrics[key], "metadata": {"island": number % 2, "changes": f"Change {number}"},
            "artifacts_json": json.dumps({"hint": "go up"}),
        }  # fmt: skip
        (place / "programs" / f"{key}.json").write_text(json.dumps({**record, **changed.get(key, {})}))
    (place / "metadata.json").write_text(json.dumps({"islands": [["a", "c", "e"], ["b", "d"]], "best_program_id": "c"}))
    return folder


def step(parent: str, child: str, number: int, metrics: dict[str, Any], parent_number: int = -1) -> dict[str, Any]:
    """Return one step of a trace; numbers name the programs' codes."""
    return {
        "iteration": number, "timestamp": 1.7e9 + number, "parent_id": parent, "child_id": child,
        "parent_metrics": {"combined_score": -2.0}, "child_metrics": metrics, "child_code": CODE.format(number),
        "parent_code": CODE.format(parent_number), "island_id": 1, "artifacts": {"hint": "up"},
        "generation": 1 if parent == "a" else 2, "llm_response": "I go on.",
        "prompt": {"system": "Be brief.", "user": f"Change {parent}.", "responses": ["I go on."]},
        "metadata": {
            "changes": f"Change 1: '{parent_number}' to '{number}'",
            "token_usage": {"prompt_tokens": 30, "completion_tokens": 4, "model": "m"},
        },
    }  # fmt: skip


def shinka(folder: Path) -> Path:
    """Write a database of seven programs, and the folders of results that two of the failed ones left."""
    folder.mkdir()
    sqlite3.connect(folder / "prompts.sqlite").execute("CREATE TABLE prompts (id)").connection.close()
    asked = {
        "llm_result": {
            "content": "Code.", "thought": "Hm.", "msg": "Go.", "system_msg": "You.", "model_name": "m",
            "input_tokens": 9, "output_tokens": 5, "thinking_tokens": 2, "cost": 0.25,
        },
        "sampling_seconds": 1.5,
    }  # fmt: skip
    rows: list[tuple[str | None, float | None, int, dict[str, Any], str, list[str]]] = [
        (None, 0.0, 1, {"patch_type": "init"}, "[]", []),
        ("p0", 1.0, 1, {"patch_type": "diff", "evaluation_seconds": 2.5, **asked}, '[{"from": 2, "to": 0}]', ["p0"]),
        ("p1", 2.0, 0, {"patch_type": "diff"}, "[]", ["p0"]),
        ("p2", 3.0, 1, {"patch_type": "cross"}, "[]", ["p0"]),
        ("p3", None, 1, {"patch_type": "cross"}, "[]", ["p0", "p1"]),
        ("p1", 0.0, 0, {"patch_type": "full"}, "[]", []),
        (None, 0.0, 1, {"patch_type": "init", "_is_island_copy": True, "_original_program_id": "p0"}, "[]", []),
    ]
    with sqlite3.connect(folder / "programs.sqlite") as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE programs (id TEXT PRIMARY KEY, code TEXT, parent_id TEXT, generation INT, timestamp REAL, "
            "combined_score REAL, public_metrics TEXT, private_metrics TEXT, correct INT, metadata TEXT, "
            "text_feedback TEXT, island_idx INT, migration_history TEXT, archive_inspiration_ids TEXT)"
        )
        database.execute("CREATE TABLE metadata_store (key TEXT PRIMARY KEY, value TEXT)")
        database.execute("INSERT INTO metadata_store VALUES ('best_program_id', 'p1')")
        for number, (parent, score, correct, more, moves, beside) in enumerate(rows):
            database.execute(
                "INSERT INTO programs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"p{number}", CODE.format(number), parent, number, 1.7e9 + number, score, '{"a": 0.5}',
                    '{"hushed": 7}', correct, json.dumps({**more, "patch_name": f"patch {number}"}), "up", 1, moves,
                    json.dumps(beside),
                ),
            )  # fmt: skip
    database.close()
    for generation in (2, 5):
        (folder / f"gen_{generation}" / "results").mkdir(parents=True)
    (folder / "gen_2" / "results" / "correct.json").write_text('{"correct": false, "error": "two overlap"}')
    return folder


def asi_evolve(folder: Path) -> Path:
    folder.mkdir()
    temp = {"error": "too slow", "stdout": "x"}
    nodes = {
        str(number): {
            "id": number, "name": f"n{number}", "created_at": f"2026-05-01T10:0{number}:00", "motivation": "m",
            "parent": [number - 1] if number else [], "code": CODE.format(number), "score": float(number),
            "results": {"success": number != 1, "eval_score": float(number), "temp": temp},
            "analysis": "Larger is better.", "meta_info": {"runtime": 1.5, "island": 1, "success": number != 1},
        }
        for number in range(3)
    }  # fmt: skip
    # An evaluation that raised: no results, and a score of 0.
    raised = {
        "results": {},
        "score": 0.0,
        "meta_info": {"success": False, "error": "Timeout after 3s"},
        "parent": [2, 0],
    }
    nodes["3"] = {**nodes["2"], "id": 3, "code": CODE.format(3), **raised}
    (folder / "nodes.json").write_text(json.dumps({"nodes": nodes}))
    return folder


def imported(source: Path, make_task: TaskMaker, runs: Path) -> tuple[Imported, RunState]:
    made = import_run(read_history(source), load_task(make_task()), Settings(rounds=10), runs, "there", source)
    with JournalReader(made.run.db) as reader:
        return made, fold_run(reader)


def test_openevolve_checkpoint_keeps_programs_scores_and_descent(tmp_path: Path, make_task: TaskMaker) -> None:
    made, state = imported(openevolve(tmp_path / "out"), make_task, tmp_path / "runs")
    assert [node.parents for node in state.nodes] == [(), (0,), (), (1,), (3,)]
    assert [node.score for node in state.nodes] == [-1.5, -1.0, -0.25, None, None]
    assert [(node.status, node.reason) for node in state.nodes][3:] == [
        ("timeout", "it ran out of time"),
        ("invalid", "no module x"),
    ]
    assert (made.nodes, made.best, made.theirs, state.best) == (5, 2, 2, 2)
    assert "1 program has no parent left, and stands as one to start from" in made.lacking
    assert state.nodes[1].metrics["inner.x"] == 2
    assert (state.status, state.settings.rounds) == ("stopped", 14)
    with JournalReader(made.run.db) as reader:
        assert reader.text(state.nodes[1].program) == CODE.format(1)
        assert reader.text(state.nodes[1].feedback_blob) == "[hint] go up"
        assert [event.at for event in reader.events(upto=2)] == [1_700_000_000_000] * 2
        designs = [event.data for event in reader.events_of(ev.DesignDone)]
    assert [design.origin for design in designs if isinstance(design, ev.DesignDone)] == list("abcde")


def test_openevolve_output_holds_what_its_last_checkpoint_dropped(tmp_path: Path, make_task: TaskMaker) -> None:
    out = openevolve(tmp_path / "out")
    earlier = out / "checkpoints" / "checkpoint_30"
    (earlier / "programs").mkdir(parents=True)
    (earlier / "metadata.json").write_text('{"best_program_id": "gone"}')
    dropped = {"id": "gone", "code": CODE.format(9), "parent_id": "a", "timestamp": 1.7e9 + 1, "metrics": {"score": 1}}
    (earlier / "programs" / "gone.json").write_text(json.dumps(dropped))
    steps = [step("gone", "t", 7, {"combined_score": 3.0}, 9), {"parent_id": "t", "child_id": "nocode"}]
    (out / "evolution_trace.jsonl").write_text("".join(json.dumps(item) + "\n" for item in steps))
    made, state = imported(out, make_task, tmp_path / "runs")
    assert [node.parents for node in state.nodes] == [(), (0,), (0,), (2,), (1,), (4,), (2,)]
    assert (state.nodes[6].score, state.nodes[6].operator, state.nodes[6].island) == (3.0, "diff", 1)
    assert made.lacking == [
        "OpenEvolve keeps no lesson",
        "1 program of evolution_trace.jsonl is left out: without evolution_trace.include_code it has no code",
    ]
    assert made.theirs == 3, "the newest checkpoint names the best"


@pytest.mark.parametrize("name", ["evolution_trace.jsonl", "evolution_trace.jsonl.gz", "mine.json"])
def test_openevolve_trace_alone_is_a_run(name: str, tmp_path: Path, make_task: TaskMaker) -> None:
    steps = [
        step("a", "b", 1, {"combined_score": -1.0}),
        step("b", "c", 2, {"combined_score": math.nan, "x": 1.0}, 1),
        # No step makes a copy of a program on another island.
        step("copy of b", "d", 3, {"error": 0.0}, 1),
        # Nor is a step there whose parent was dropped while it ran.
        step("stray", "e", 4, {"combined_score": 0.5}, 9),
    ]
    lines = "".join(json.dumps(item) + "\n" for item in steps)
    path = tmp_path / name
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(json.dumps({"traces": steps}) if path.suffix == ".json" else lines + '{"iteration": 4, "pa')
    made, state = imported(path, make_task, tmp_path / "runs")
    assert [(node.parents, node.status, node.score) for node in state.nodes] == [
        ((), "ok", -2.0),
        ((), "ok", -2.0),
        ((0,), "ok", -1.0),
        ((2,), "ok", -2.0),
        ((2,), "invalid", None),
        ((3,), "crashed", None),
        ((1,), "ok", 0.5),
    ]
    assert [(node.name, node.operator) for node in state.nodes][:4:3] == [
        ("initial program", "seed"),
        ("copy on another island", "copy"),
    ]
    assert (state.nodes[1].name, state.nodes[1].operator) == ("stray", "imported")
    assert state.nodes[4].reason == "its combined_score is nan"
    assert state.nodes[5].reason == "its evaluation failed: [hint] up"
    assert made.lacking[-1] == "1 program has no parent left, and stands as one to start from"
    with JournalReader(made.run.db) as reader:
        calls = calls_of_run(reader)
        asked = json.loads(reader.text(calls[0].started.prompt_blob))["messages"]
        assert [reader.text(call.done.answer_blob) for call in calls if call.done] == ["I go on."] * 4
    assert [message["content"] for message in asked] == ["Be brief.", "Change a."]
    assert (state.tokens, calls[0].done and calls[0].done.priced) == (4 * 34, False)


def test_traces_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    path = tmp_path / "evolution_trace.jsonl"
    path.write_text('{"parent_id": "a", "child_id": "b"}\n')
    with pytest.raises(RunError, match="holds no program") as told:
        read_history(path)
    assert "include_code" in (told.value.hint or "")
    for content, reason in (("[1]\n", "no list of steps"), ("{}\n", "has no parent_id"), ("{\n{\n", "cannot be read")):
        path.write_text(content)
        with pytest.raises(RunError, match=reason):
            read_history(path)
    path.with_suffix(".hdf5").write_bytes(b"\x89HDF")
    with pytest.raises(RunError, match="is a trace in HDF5"):
        read_history(path.with_suffix(".hdf5"))


def test_openevolve_mean_leaves_feature_dimensions_out(tmp_path: Path) -> None:
    out = openevolve(tmp_path / "out", c={"metrics": {"height": 3.0, "depth": 5.0, "steps": 40, "no": math.nan}})
    place = out / "checkpoints" / "checkpoint_40" / "metadata.json"
    place.write_text(json.dumps({"feature_stats": {"steps": {}}, "islands": [["c"]]}))
    assert {node.key: node.score for node in read_history(out).nodes}["c"] == 4.0


def test_own_figure_of_a_task_ranks(tmp_path: Path) -> None:
    history = read_history(openevolve(tmp_path / "out", b={"metrics": {"combined_score": 1.0, "loss": 0.25}}))
    with pytest.raises(RunError, match="no program has a figure 'gain'"):
        score_by(history, "gain", required=True)
    score_by(history, "gain", required=False)
    assert [node.score for node in history.nodes] == [-1.5, 1.0, -0.25, None, None]
    score_by(history, "loss", required=True)
    assert [node.score for node in history.nodes] == [None, 0.25, None, None, None]
    assert history.nodes[0].reason == "it has no figure 'loss'"


def test_programs_of_one_file_have_no_score_in_a_task_of_folders(tmp_path: Path, make_task: TaskMaker) -> None:
    source = openevolve(tmp_path / "out", b={"code": f"# ==== FILE: a.py ====\n{CODE.format(1)}"})
    task = load_task(make_task())
    folders = msgspec.structs.replace(task.spec, program=ProgramSpec(files=["*.py"]))
    made = import_run(
        read_history(source), replace(task, spec=folders), Settings(rounds=1), tmp_path / "runs", "there", source
    )
    with JournalReader(made.run.db) as reader:
        nodes = fold_run(reader).nodes
    assert [node.score for node in nodes] == [None, -1.0, None, None, None]
    assert nodes[0].reason.startswith("it is no program of this task: it must begin with")


def test_shinka_database_keeps_public_metrics_alone(tmp_path: Path, make_task: TaskMaker) -> None:
    source = shinka(tmp_path / "out")
    before = sorted(source.rglob("*"))
    made, state = imported(source, make_task, tmp_path / "runs")
    assert sorted(source.rglob("*")) == before, "nothing is written there"
    # Which of two programs a crossover took is not known, so that they count as shown.
    assert [node.parents for node in state.nodes] == [(), (0,), (1,), (2, 0), (3,), (1,), ()]
    assert [node.operator for node in state.nodes] == ["seed", "diff", "diff", "crossover", "crossover", "full", "seed"]
    assert [node.score for node in state.nodes] == [0.0, 1.0, None, 3.0, None, None, 0.0]
    assert [(node.status, node.reason) for node in state.nodes if node.score is None] == [
        ("invalid", "two overlap"),
        ("invalid", "its combined_score is no number"),
        ("timeout", "it left no result: its time ran out, or its process died"),
    ]
    assert [node.island for node in state.nodes][1:3] == [2, 1], "where it was born, not where it was moved to"
    assert state.nodes[6].name == "patch 6 (copy for island 1)"
    assert (state.nodes[1].seconds, state.nodes[1].shown) == (2.5, 3)
    assert state.nodes[0].metrics == {"a": 0.5}
    assert (made.best, made.theirs) == (3, 1)
    with JournalReader(made.run.db) as reader:
        (call,) = calls_of_run(reader)
        assert call.done is not None
        assert (call.round, call.done.model, call.done.tokens_in, call.done.tokens_out) == (1, "m (ShinkaEvolve)", 9, 7)
        assert (call.done.usd, call.done.priced, call.done.seconds) == (0.25, True, 1.5)
        assert (reader.text(call.done.answer_blob), reader.text(call.done.reasoning_blob)) == ("Code.", "Hm.")
    assert (state.usd, state.tokens, state.answered) == (0.25, 16, {})
    assert b"hushed" not in b"".join(path.read_bytes() for path in made.run.folder.glob("run.db*"))


def test_shinka_database_of_a_writer_that_died_is_not_read_as_it_lies(tmp_path: Path) -> None:
    source = shinka(tmp_path / "out")
    with contextlib.closing(sqlite3.connect(source / "programs.sqlite", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=DELETE")
        writer.execute("PRAGMA cache_size=0")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE programs SET code = zeroblob(1000000)")
        left = Path(shutil.copytree(source, tmp_path / "left"))
        writer.execute("ROLLBACK")
    before = {path: path.read_bytes() for path in left.iterdir() if path.is_file()}
    assert left / "programs.sqlite-journal" in before
    with pytest.raises(RunError, match="cannot be read"):
        read_history(left)
    assert {path: path.read_bytes() for path in left.iterdir() if path.is_file()} == before


def test_tables_nested_deep_are_left_out() -> None:
    deep: dict[str, Any] = {"x": 1}
    for _ in range(5000):
        deep = {"t": deep}
    assert numbers_of({"a": 1, "b": {"c": 2.5, "d": {"e": 1}}, "deep": deep}) == {"a": 1, "b.c": 2.5}


def test_asi_evolve_nodes_keep_their_lessons(tmp_path: Path, make_task: TaskMaker) -> None:
    made, state = imported(asi_evolve(tmp_path / "out"), make_task, tmp_path / "runs")
    assert [(node.score, node.status, node.reason) for node in state.nodes] == [
        (0.0, "ok", ""),
        (None, "invalid", "too slow"),
        (2.0, "ok", ""),
        (None, "timeout", "Timeout after 3s"),
    ]
    assert {node.lesson for node in state.nodes} == {"Larger is better."}
    assert [node.parents for node in state.nodes] == [(), (0,), (1,), (2, 0)]
    assert (state.nodes[1].seconds, state.nodes[1].island) == (1.5, 1)
    fork = fork_run(made.run, tmp_path / "runs", name="fork")
    with JournalReader(fork.run.db) as reader:
        assert len(fold_run(reader).nodes) == 4
        assert reader.text(state.nodes[1].feedback_blob) == "[stdout] x"


def test_halves_of_characters_refuse_no_run(tmp_path: Path, make_task: TaskMaker) -> None:
    broken = "half \ud800"
    changed = {
        "id": broken,
        "code": f"# {broken}\n",
        "metadata": {"changes": broken},
        "metrics": {broken: 1, "x": broken},
    }
    out = openevolve(tmp_path / "out", a=changed, b={"parent_id": broken})
    _, state = imported(out, make_task, tmp_path / "runs")
    assert [node.parents for node in state.nodes][:2] == [(), (0,)]
    assert (state.nodes[0].name, state.nodes[0].metrics) == ("half ?", {"half ?": 1, "x": "half ?"})


def test_scores_stand_in_the_stage_that_ranks(tmp_path: Path, make_task: TaskMaker) -> None:
    task = load_task(make_task(toml='[[stages]]\nname = "quick"\n'))
    made = import_run(read_history(asi_evolve(tmp_path / "a")), task, Settings(), tmp_path / "runs", "", tmp_path)
    with JournalReader(made.run.db) as reader:
        stages = {data.stage for event in reader.events() if isinstance(data := event.data, ev.EvalDone)}
    assert stages == {"quick"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a": {"parent_id": "b"}}, "is its own ancestor"),
        ({"a": {"id": "b"}}, "two programs have the id 'b'"),
        ({"a": {"code": None}}, "has no id or no code"),
    ],
)
def test_contradictions_are_told_and_leave_no_run(
    change: dict[str, Any], reason: str, tmp_path: Path, make_task: TaskMaker
) -> None:
    with pytest.raises(RunError, match=reason):
        imported(openevolve(tmp_path / "out", **change), make_task, tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize("content", ["", "[" * 100_000, "[1]", '{"nodes": [{}]}', "nodes"])
def test_what_is_no_run_is_refused_in_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(content)
    with pytest.raises(RunError, match=r"nodes\.json"):
        read_history(tmp_path)


def test_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite") as database:
        database.execute("CREATE VIEW programs AS SELECT 1")
    database.close()
    with pytest.raises(RunError, match="has no table 'programs'"):
        read_history(tmp_path)
    with pytest.raises(RunError, match="holds no run that is known here"):
        read_history(tmp_path / "nowhere")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_programs_stand_behind_their_parents(rows: list[tuple[int, int]]) -> None:
    nodes = [
        ImportedNode(str(number), [str(parent)] if parent < number else [], "", at)
        for number, (parent, at) in enumerate(rows)
    ]
    ordered = in_order(nodes)
    place = {node.key: index for index, node in enumerate(ordered)}
    assert sorted(place) == sorted(node.key for node in nodes)
    assert all(place[parent] < place[node.key] for node in ordered for parent in node.parents)
