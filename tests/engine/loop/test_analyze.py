"""The analyze stage over a real journal, with a model behind a real HTTP server, without an engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Stopping
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.loop.stages.analyze import Analyze
from engine.runs.folder import Run
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, open_parts
from tests.llm_server import REPORT, LlmServer, Reply, llm_server

PROPOSED = {"title": "Step small", "body": "Small steps pay here."}


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server(lambda request: Reply(json.dumps({**REPORT, "priors": [PROPOSED]}))) as served:
        yield served


def run_of(make_task: TaskMaker, tmp_path: Path, server: LlmServer, **settings: Any) -> Run:
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
    return make_run(make_task(), tmp_path / "runs", models=models, **settings)


def measured(parts: Parts) -> None:
    """Record the seed's evaluation, which printed something and whose evaluator said something."""
    parts.session.emit(
        ev.EvalStageDone(
            "explore",
            "ok",
            score=-1.0,
            stdout_blob=sha256_of(b"all went well"),
            feedback_blob=sha256_of(b"try more steps"),
        ),
        ev.EvalDone("ok", -1.0, stage="explore"),
        round=0,
        node=0,
        blobs=[b"all went well", b"try more steps"],
    )


def reports(run: Run) -> list[ev.AnalyzeDone]:
    return [event.data for event in events(run, ev.AnalyzeDone) if isinstance(event.data, ev.AnalyzeDone)]


async def test_rules_report_without_asking_a_model(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> None:
    run = run_of(make_task, tmp_path, server, roles={"analyzer": "rules"})
    async with open_parts(run) as parts:
        measured(parts)
        await Analyze(parts.session, parts.models, parts.prompts).run(0)
        assert parts.session.state.nodes[0].analyzed
    (report,) = reports(run)
    assert (report.analyzer, not report.lesson) == ("rules", False)
    assert not server.requests


async def test_analyzer_may_be_off(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> None:
    run = run_of(make_task, tmp_path, server, roles={"analyzer": "off"})
    async with open_parts(run) as parts:
        measured(parts)
        await Analyze(parts.session, parts.models, parts.prompts).run(0)
    assert reports(run) == [ev.AnalyzeDone("", analyzer="off")]
    assert not server.requests


async def test_model_reads_output_and_its_proposals_are_recorded(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    run = run_of(make_task, tmp_path, server)
    async with open_parts(run) as parts:
        measured(parts)
        await parts.session.committed()
        analyze = Analyze(parts.session, parts.models, parts.prompts)
        await analyze.run(0)
        assert "all went well" in server.requests[0].text and "try more steps" in server.requests[0].text
        (proposed,) = parts.session.state.proposed.values()
        assert "Small steps pay here." in parts.session.text(proposed.text_blob)
        # After another measurement the node is analyzed again; the names of proposals go on.
        await parts.session.committed()
        parts.session.emit(ev.NodeRerun(), round=0, node=0)
        measured(parts)
        parts.session.emit(ev.RoundEnded("node"), round=0)
        await parts.session.committed()
        await analyze.run(0)
    assert [event.data.id for event in events(run, ev.PriorProposed)] == ["node-0-1", "node-0-2"]  # type: ignore[attr-defined]
    assert all(report.lesson == "score -1, the starting point: Smaller steps pay." for report in reports(run))


async def test_no_model_reports_on_what_behaves_the_same(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    run = run_of(make_task, tmp_path, server)
    async with open_parts(run) as parts:
        session = parts.session
        session.emit(ev.EvalDone("ok", -1.0, {"score": -1.0, "x": 2.0}), round=0, node=0)
        session.emit(ev.DesignDone("", "full", "another name", "it is faster", [0]), round=1, node=1)
        session.emit(ev.EvalDone("ok", -1.0, {"score": -1.0, "x": 2.0}), round=1, node=1)
        await Analyze(session, parts.models, parts.prompts).run(1)
    (report,) = reports(run)
    assert report.lesson == "behaves the same as #0, score -1: another name"
    assert not server.requests


async def test_causes_and_next_step_are_kept_unless_nothing_changed(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    run = run_of(make_task, tmp_path, server)
    async with open_parts(run) as parts:
        session = parts.session
        session.emit(ev.EvalDone("ok", -1.0, {"score": -1.0, "x": 2.0}), round=0, node=0)
        for node, score in ((1, 3.0), (2, -1.0)):
            session.emit(ev.DesignDone("", "full", "a change", "", [0]), round=node, node=node)
            session.emit(ev.EvalDone("ok", score, {"score": score, "x": 2.5}), round=node, node=node)
            await session.committed()
            await Analyze(session, parts.models, parts.prompts).run(node)
        nodes = session.state.nodes
    assert (nodes[1].causes, nodes[1].next_step) == (("the point is nearer",), "go on")
    assert nodes[1].lesson == "gained 4 over #0, score 3: Smaller steps pay."
    assert nodes[2].lesson == "no difference to #0, score -1: a change"
    assert nodes[2].causes == ()


async def test_stopping_engine_leaves_the_node_to_be_analyzed(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    run = run_of(make_task, tmp_path, server)
    async with open_parts(run) as parts:
        measured(parts)
        parts.gate.stop()
        with pytest.raises(Stopping):
            await Analyze(parts.session, parts.models, parts.prompts).run(0)
        assert not parts.session.state.nodes[0].analyzed
