"""Whole runs with a model that answers as small models do: copies, failing edits, prose in place of reports."""

from __future__ import annotations

import json
from pathlib import Path

from engine.journal.events import AnalyzeDone, DesignDone, DesignRejected, EvalStarted
from engine.runs.folder import Run
from tests.conftest import SEED, Evolve, TaskMaker
from tests.e2e.runs import events
from tests.llm_server import REPORT, Reply, Request, llm_server

WISH = '{% extends "default/researcher.j2" %}\n{% block hints %}Mind the right hand.\n{{ super() }}{% endblock %}\n'
COPY = SEED.replace('"""A point in the plane, to be moved."""', '"""The point, much improved."""\n\n# better')


def small_model(request: Request) -> Reply:
    """Answer a round's attempts in turn: the seed with other comments, edits of a missing line, a design."""
    told = request.text
    if "You analyze" in told:
        return Reply(f"Sure:\n{json.dumps(REPORT)}" if "could not be used" in told else "It went well.")
    if "# Refused attempts" not in told:
        return Reply(f"Here is an improved program:\n```python\n{COPY}```\n")
    value = 1 + (request.number + 1) / 64
    if "<<<<<<< SEARCH" in told:
        line = "Z = 2.0" if "does not stand in the program" in told else "Z = two"
        return Reply(f"<name>an edit</name>\n<<<<<<< SEARCH\n{line}\n=======\nZ = {value}\n>>>>>>> REPLACE\n")
    code = SEED.replace("X = 0.5", f"X = {value}")
    return Reply(f"<think>\nHm. ```x```\n</think>\n<name>whole</name>\n<program>\n```python\n{code}```\n</program>")


def start(evolve: Evolve, task: Path, url: str, *options: str) -> Run:
    """Complete a run of few rounds, one at a time."""
    settings = ("sampler=greedy", "workers=1", "designer.modes.crossover=0", "designer.modes.fix=0", *options)
    sets = [text for setting in settings for text in ("--set", setting)]
    result = evolve(
        "run", task, "--headless", "--json", "--rounds", 3, "--model", "small", "--base-url", url, *sets,
        OPENAI_API_KEY="x",
    )  # fmt: skip
    assert result.code == 0, result.err
    return Run(Path(result.json["run"]))


def test_copy_is_refused_before_evaluation_and_reported_to_model(make_task: TaskMaker, evolve: Evolve) -> None:
    folder = make_task()
    (folder / "prompts").mkdir()
    (folder / "prompts" / "researcher.j2").write_text(WISH)
    with llm_server(small_model) as server:
        run = start(evolve, folder, server.url, "designer.modes.full=1", "designer.modes.diff=0")
        asked = [request for request in server.requests if "You write Python" in request.text]
    assert all("Mind the right hand." in request.text for request in asked)
    (beginning,) = {request.body["messages"][0]["content"] for request in asked}
    assert beginning.index("Move the point") < beginning.index("point (functions)") < beginning.index("</program>")
    refused = [event.data for event in events(run, DesignRejected)]
    assert [item.check for item in refused if isinstance(item, DesignRejected)] == ["duplicate"] * 3
    assert len(events(run, EvalStarted)) == 4, "the seed and one program a round"
    made = [event.data for event in events(run, DesignDone)][1:]
    assert [item.operator for item in made if isinstance(item, DesignDone)] == ["full"] * 3
    reports = [event.data for event in events(run, AnalyzeDone)]
    assert {item.analyzer for item in reports if isinstance(item, AnalyzeDone)} == {"small"}
    assert all(REPORT["lesson"] in item.lesson for item in reports if isinstance(item, AnalyzeDone))


def test_failing_edits_are_reported_and_corrected(make_task: TaskMaker, evolve: Evolve) -> None:
    with llm_server(small_model) as server:
        run = start(evolve, make_task(), server.url, "designer.modes.full=0", "designer.modes.diff=1")
    checks = [event.data.check for event in events(run, DesignRejected) if isinstance(event.data, DesignRejected)]
    assert checks == ["duplicate", "answer"] * 3
    made = [event.data for event in events(run, DesignDone)][1:]
    assert [(item.operator, item.name) for item in made if isinstance(item, DesignDone)] == [("diff", "an edit")] * 3


def test_recombination_writes_between_calls(make_task: TaskMaker, evolve: Evolve) -> None:
    with llm_server(small_model) as server:
        run = start(evolve, make_task(), server.url, "designer.recombine_share=1", "roles.analyzer=rules")
        assert server.requests == []
    made = [event.data for event in events(run, DesignDone)][1:]
    assert {item.operator for item in made if isinstance(item, DesignDone)} <= {"tune", "exchange"}
