"""`evolve distil`: lessons that helped become proposed priors, with the nodes they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analyzers.distil import distil_by_words, distil_prompt, parse_distilled, tried_in
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.llm.answers import AnswerError
from engine.runs.folder import Run
from engine.state.run_state import RunState
from tests.conftest import SEED, Evolve, TaskMaker
from tests.e2e.runs import fold
from tests.engine.test_fork import write
from tests.engine.test_state import Script
from tests.llm_server import Reply, Request, llm_server

LESSONS = [
    ("seed", None, 1.0, "score 1, the starting point"),
    ("wider step", 0, 2.0, "gained 1 over #0, score 2: a wider step reaches distant optima"),
    ("shake twice", 0, 1.5, "gained 0.5 over #0, score 1.5: shaking the circles twice removes gaps"),
    ("wider step again", 1, 3.5, "gained 1.5 over #1, score 3.5: an even wider step reaches distant optima"),
    ("widest step", 3, 3.0, "lost 0.5 against #3, score 3: the widest step misses distant optima"),
    ("sort by radius", 3, 3.6, "gained 0.1 over #3, score 3.6: sorting by radius helps packing"),
    ("random restarts", 2, 1.6, "gained 0.1 over #2, score 1.6: restarts explored corners"),
    ("crash", 3, None, "crashed: ZeroDivisionError"),
]
"""Name, parent, score and lesson of each node; the best is 5, by way of 1 and 3."""


def make(folder: Path, task: Path) -> Run:
    script = Script()
    spec = {"name": "point", "direction": "maximize"}
    brief = b"Pack circles.\n"
    start = ev.RunStarted(
        "point", {}, spec, {"brief.md": sha256_of(brief)}, source=str(task), priors=str(task / "priors")
    )
    script.add(start)
    best = -1.0
    for node, (name, parent, score, lesson) in enumerate(LESSONS):
        script.add(ev.RoundStarted(), node)
        parents = [] if parent is None else [parent]
        script.add(ev.DesignDone(sha256_of(SEED), "diff", name, "why", parents, digest=str(node)), node, node)
        script.add(ev.EvalDone("crashed" if score is None else "ok", score, {}), node, node)
        if score is not None and score > best:
            best = score
            script.add(ev.BestCrowned(score), node, node)
        script.add(ev.AnalyzeDone(lesson), node, node)
        script.add(ev.RoundEnded("node"), node)
    script.add(ev.RunFinished("done"))
    return write(folder, script.events, [SEED.encode(), brief])


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return make(tmp_path / "runs" / "one", make_task(priors={"old.md": "# Old\n\nKnown.\n"}))


def test_lessons_alike_that_helped_become_one_prior_with_their_nodes(run: Run) -> None:
    state = fold(run)
    assert [item.node.id for item in tried_in(state) if item.helped] == [3, 1, 2, 5, 6]
    found = distil_by_words(state, "one")
    assert [(item.title, item.nodes) for item in found] == [("wider step again", [1, 3]), ("sort by radius", [5])]
    assert "gained 1 to 1.5 of score over the parent, in 2 designs. One alike gained nothing." in found[0].body
    assert "- #3: gained 1.5 over #1" in found[0].body and found[0].text.startswith(
        "# wider step again\n\nIn run 'one'"
    )
    # 2 and 6 are alone, and not on the way to the best.


def test_a_model_is_told_what_helped_and_what_did_not(run: Run) -> None:
    _, user = distil_prompt(fold(run), "Pack circles.")
    helped, failed = user.content.split("# What did not")
    assert "Pack circles." in helped and "#3, +1.5: gained 1.5 over #1" in helped and "#4, -0.5" not in helped
    assert "#4, -0.5: lost 0.5" in failed


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["priors", "title", "body", "nodes"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_answer_is_read_or_refused(answer: Any) -> None:
    state = RunState(ev.Event(1, 0, None, None, ev.RunStarted("t", {}, {"name": "t", "direction": "maximize"}, {})))
    with pytest.raises(AnswerError, match="no insight"):
        parse_distilled(json.dumps(answer), state)


def test_priors_are_proposed_once_and_wait_for_a_person(run: Run, evolve: Evolve, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs")
    first = evolve("distil", "one", "--json", *where)
    assert first.code == 0, first.err
    assert [(item["nodes"], item["status"]) for item in first.json] == [([1, 3], "pending"), ([5], "pending")]
    assert evolve("distil", "one", "--json", *where).json == first.json, "the same are not proposed twice"
    shown = evolve("priors", "show", first.json[0]["id"], "--task", run.folder)
    assert "pending" in shown.out and "proposed by run one from #1, #3" in shown.out


def test_a_model_writes_them_with_one_call(run: Run, evolve: Evolve, tmp_path: Path) -> None:
    insight = {"title": "Widen the step", "body": "Until the optimum is near.", "nodes": [1, 3, 99]}
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply(json.dumps({"priors": [insight, {"title": "None", "body": "names no node", "nodes": []}]}))

    with llm_server(answer) as server:
        words = ("distil", "one", "--model", "m", "--base-url", server.url, "--json", "--runs", tmp_path / "runs")
        found = evolve(*words, OPENAI_API_KEY="k")
        assert found.code == 0, found.err
    assert len(asked) == 1 and "tokens, $" in found.err
    (only,) = found.json
    assert (only["title"], only["nodes"]) == ("Widen the step", [1, 3])
