"""Commands that read a run: diff, show --filter, best and export."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.state.fold import fold_run
from tests.conftest import Evolve

RUN = Path(__file__).parents[3] / "sample_runs" / "circle_packing_mixed"


def test_diff_of_one_node_is_against_its_parent(evolve: Evolve) -> None:
    parent = evolve("show", RUN, 16, "--json").json["parents"][0]
    one = evolve("diff", RUN, 16, "--json").json
    assert (one["a"], one["b"]) == (parent, 16)
    assert one == evolve("diff", RUN, parent, 16, "--json").json
    assert evolve("diff", RUN, 16).out.startswith(f"--- node {parent}\n+++ node 16\n")
    seed = evolve("diff", RUN, 0)
    assert (seed.code, "node 0 has no parent" in seed.err) == (2, True), seed.err


def test_best_names_a_node(evolve: Evolve) -> None:
    assert evolve("show", RUN, "best").out == evolve("show", RUN, 16).out
    assert evolve("diff", RUN, "best").out == evolve("diff", RUN, 16).out
    assert evolve("diff", RUN, 0, "best").out == evolve("diff", RUN, 0, 16).out
    wrong = evolve("show", RUN, "bets")
    assert wrong.code == 2 and "'bets' names no node: name its number, or best" in wrong.err
    beyond = evolve("show", RUN, 99)
    assert beyond.code == 1 and "its nodes are 0 to 18" in beyond.err


def test_best_of_a_run_is_commented_and_starred(evolve: Evolve, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(RUN, run)
    assert evolve("star", run, "best").code == 0
    assert evolve("comment", run, "best", "the last of four").code == 0
    assert evolve("comment", run, "best", "so", "far").code == 0
    with JournalReader(run / "run.db") as reader:
        state = fold_run(reader)
    best = state.nodes[16]
    assert (state.best, best.starred, best.comments) == (16, True, ("the last of four",))
    assert state.comments == ["best so far"]


def test_filter_selects_nodes_like_application(evolve: Evolve) -> None:
    nodes = evolve("show", RUN, "--json").json["nodelist"]
    crashed = evolve("show", RUN, "--filter", "status:ok score>2.4", "--json").json["nodelist"]
    assert crashed == [node for node in nodes if node["status"] == "ok" and node["score"] > 2.4]
    assert 0 < len(crashed) < len(nodes)
    assert f"{len(crashed)} of {len(nodes)} nodes:" in evolve("show", RUN, "--filter", "status:ok score>2.4").out
    assert evolve("show", RUN, "--filter", "sum_radii>2.4").out == evolve("show", RUN, "--filter", "score>2.4").out
    measured = evolve("show", RUN, "--filter", "contacts>20 min_radius<0.06", "--json").json["nodelist"]
    assert [node["id"] for node in measured] == [13, 14, 16, 17]
    best = evolve("show", RUN, "--filter", "is:best", "--json").json["nodelist"]
    assert best[0]["id"] == 0
    assert all(node["parents"][0] == above["id"] for above, node in pairwise(best))


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("status:okk", "status is one of ok, "),
        ("colour:red", "'colour' is not known"),
        ("score>high", "is not a number"),
    ],
)
def test_invalid_filter_is_reported_with_reason(evolve: Evolve, expression: str, told: str) -> None:
    done = evolve("show", RUN, "--filter", expression)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: --filter {expression}: ")
    assert told in done.err
    assert evolve("show", RUN, 3, "--filter", "status:ok").code == 2


def test_export_is_named_after_run_and_replaces_no_file_without_force(
    evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evolve("export", RUN).out == "circle_packing_mixed.html\n"
    made = tmp_path / "circle_packing_mixed.html"
    made.write_text("mine")
    for words in ([], ["-o", made]):
        refused = evolve("export", RUN, *words)
        assert (refused.code, refused.out) == (2, "")
        assert f"{made.name if not words else made} is there already\n  --force replaces it" in refused.err
    assert made.read_text() == "mine"
    assert evolve("export", RUN, "--force", "--json").json["file"] == str(made)
    assert "<html" in made.read_text()


def test_export_as_a_checkpoint_names_its_folder(
    evolve: Evolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "circle_packing_mixed-openevolve"
    done = evolve("export", RUN, "--as", "openevolve", "--json").json
    assert (done["folder"], done["programs"]) == (str(made), len(list((made / "programs").iterdir())))
    again = evolve("export", RUN, "--as", "openevolve")
    assert (again.code, "is a checkpoint already\n  --force replaces it" in again.err) == (2, True)
    unknown = evolve("export", RUN, "--as", "shinka")
    assert (unknown.code, unknown.err) == (2, "error: no run can be exported as 'shinka'\n  Known is 'openevolve'\n")


def test_best_replaces_no_file_without_force(evolve: Evolve, tmp_path: Path) -> None:
    out = tmp_path / "best.py"
    assert evolve("best", RUN, "-o", out).out == f"{out}\n"
    program = out.read_text()
    out.write_text("mine")
    refused = evolve("best", RUN, "-o", out)
    assert (refused.code, refused.out) == (2, "")
    assert f"{out} is there already\n  --force replaces it" in refused.err
    assert out.read_text() == "mine"
    assert evolve("best", RUN, "-o", out, "--force", "--json").json["code"] == program
    assert out.read_text() == program
    assert evolve("best", RUN, "-o", "/dev/null").code == 0, "a device holds nothing that could be lost"
