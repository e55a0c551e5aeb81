"""The command `export` on a live and on a finished run."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import networkx as nx

from engine.journal import events as ev
from tests.conftest import Evolve, TaskMaker
from tests.e2e.runs import check_integrity, events, finish, make_run, start_engine, wait_for
from tests.e2e.test_commands import SLOW


def test_run_is_exported_in_every_format(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs", rounds=5)
    state = finish(run)
    for kind in ("json", "csv", "graphml", "html"):
        out = tmp_path / f"out.{kind}"
        done = evolve("export", run.name, "-o", out, "--runs", tmp_path / "runs", "--json")
        assert done.json == {"file": str(out), "run": str(run.folder), "nodes": len(state.nodes)}, done.err
    whole = json.loads((tmp_path / "out.json").read_text())
    assert [node["score"] for node in whole["nodes"]] == [node.score for node in state.nodes]
    assert len(nx.read_graphml(tmp_path / "out.graphml")) == len(state.nodes)
    assert "def point" in (tmp_path / "out.html").read_text()
    refused = evolve("export", run.name, "-o", tmp_path / "out.pdf", "--runs", tmp_path / "runs")
    assert (refused.code, ".graphml" in refused.err) == (2, True)
    assert evolve("export", run.name, "-o", tmp_path / "no" / "o.csv", "--runs", tmp_path / "runs").code == 1
    shown = evolve("show", run.name, "--runs", tmp_path / "runs").out
    assert "best path 0" in shown
    assert "descendants" in evolve("show", run.name, 0, "--runs", tmp_path / "runs").out


def test_export_does_not_disturb_live_run(make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=SLOW), tmp_path / "runs", rounds=10_000)
    engine = start_engine(run)
    wait_for(lambda: len(events(run, ev.EvalDone)) > 2, "measured nodes")
    assert evolve("export", run.folder, "-o", tmp_path / "live.html").code == 0
    assert "running" in (tmp_path / "live.html").read_text()
    assert engine.poll() is None
    engine.send_signal(signal.SIGTERM)
    engine.wait(90)
    check_integrity(run)
