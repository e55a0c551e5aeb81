"""Lessons are written beside the rounds, and a run with one worker stays repeatable all the same."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.analyzers.report import Report
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.loop.engine import Engine
from engine.loop.lessons import Lessons
from engine.loop.serve import watch_children_without_threads
from engine.loop.stages.analyze import Analyze
from engine.runs.folder import Run, lock_run
from engine.state.surprise import is_surprise
from tests.conftest import TaskMaker
from tests.e2e.runs import check_complete, check_integrity, events, fold, make_run
from tests.engine.loop.parts import add_node, open_parts
from tests.llm_server import REPORT, LlmServer, Reply, Request, llm_server, search


@pytest.fixture(scope="module")
def served() -> Iterator[LlmServer]:
    with llm_server(search) as server:
        yield server


@pytest.fixture
def server(served: LlmServer) -> LlmServer:
    watch_children_without_threads()
    served.answer = search
    served.requests.clear()
    return served


Start = Callable[..., Run]


@pytest.fixture
def start(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> Start:
    def make(folder: str = "runs", **settings: Any) -> Run:
        spec = {"model": "m", "base_url": server.url, "key_env": "", "retries": 0}
        return make_run(
            make_task(), tmp_path / folder, **{"rounds": 3, "workers": 1, "models": {"m": spec}, **settings}
        )

    return make


async def work(run: Run) -> None:
    with lock_run(run):
        await Engine(run).work()
    check_integrity(run)
    check_complete(run, run_rounds(run))


def run_rounds(run: Run) -> int:
    return fold(run).settings.rounds


def is_report(request: Request) -> bool:
    return "response_format" in request.body


@pytest.mark.parametrize("workers", [1, 3])
async def test_first_design_does_not_wait_for_the_lesson_of_the_seed(
    start: Start, server: LlmServer, workers: int
) -> None:
    designed = threading.Event()

    def answer(request: Request) -> Reply:
        if is_report(request):
            # The report on the seed comes after the first design, or never.
            assert designed.wait(90)
        else:
            designed.set()
        return search(request)

    server.answer = answer
    run = start(rounds=1, workers=workers)
    await work(run)
    assert [is_report(request) for request in server.requests] == [False, True, True]


def prompts(run: Run) -> list[tuple[int | None, str]]:
    with JournalReader(run.db) as reader:
        return [
            (event.round, reader.text(event.data.prompt_blob))
            for event in events(run, ev.CallStarted)
            if isinstance(event.data, ev.CallStarted) and event.data.role == "researcher"
        ]


@pytest.mark.parametrize("slow", ["reports", "designs"])
async def test_design_knows_the_same_lessons_whatever_is_slow(start: Start, server: LlmServer, slow: str) -> None:
    def answer(request: Request) -> Reply:
        made = search(request)
        text = made.text
        if is_report(request):
            number = sum(is_report(other) for other in server.requests)
            text = text.replace("Smaller steps pay.", f"Lesson number {number}.")
        else:
            # Numbers of requests depend on what comes first; the designs must not.
            number = sum(not is_report(other) for other in server.requests)
            text = search(Request(request.body, request.headers, number)).text
        return Reply(text, before=0.25 if is_report(request) == (slow == "reports") else 0.0)

    server.answer = answer
    run = start(rounds=4)
    await work(run)
    known = {round_: {n for n in range(1, 7) if f"Lesson number {n}." in text} for round_, text in prompts(run)}
    # The lesson of the experiment just before is not known yet; any earlier one may be shown.
    assert known[1] == set() and all(max(known[round_], default=0) < round_ for round_ in (2, 3, 4))
    assert any(known.values())
    order = [
        (event.data.KIND, event.round)
        for event in events(run)
        if isinstance(event.data, ev.DesignDone | ev.AnalyzeDone | ev.LearnDone)
        and (event.round or event.node is not None)
    ]
    for round_ in range(1, 4):
        lesson = order.index(("analyze.done", round_))
        assert order.index(("design.done", round_ + 1)) < lesson
        if round_ < 3:
            assert lesson < order.index(("learn.done", round_ + 2))


async def test_lessons_keep_no_worker_busy(start: Start, server: LlmServer) -> None:
    together = threading.Barrier(2, timeout=90)

    def answer(request: Request) -> Reply:
        # Both must be asked at once: the lessons of two rounds, by one of two workers each, and a design beside them.
        if is_report(request) and request.number < 4:
            together.wait()
        return search(request)

    server.answer = answer
    run = start(rounds=6, workers=2)
    await work(run)
    assert fold(run).rounds_done == 6


async def test_lesson_may_be_waited_for(start: Start, server: LlmServer) -> None:
    run = start(rounds=2, analyzer={"ahead": False})
    await work(run)
    assert [is_report(request) for request in server.requests] == [True, False, True, False, True]


class Reporter(Analyze):
    """Reports at once, without a model."""

    def asks_model(self, node_id: int) -> bool:
        """Always."""
        return True

    async def let_designs_go_first(self, answered: asyncio.Event) -> None:
        """Do nothing: no request is under way."""

    async def reports(self, node_ids: Sequence[int]) -> list[Report]:
        """Return one for each."""
        return [Report(f"of {node}", "") for node in node_ids]


async def test_lesson_waits_for_a_design_unless_a_person_has_paused_it(start: Start) -> None:
    async with open_parts(start()) as parts:
        session = parts.session
        session.emit(ev.EvalDone("ok", -5.0, stage="explore"), ev.BestCrowned(-5.0), round=0, node=0)
        session.emit(ev.RoundStarted(), round=1)
        lessons = Lessons(session, parts.gate, Reporter(session, parts.models, parts.prompts), parts.limits)
        lesson = asyncio.create_task(lessons.run(0))
        for _ in range(5):
            await asyncio.sleep(0)
            lessons.settle()
        assert lessons.rounds == {0} and not session.state.nodes[0].analyzed
        # Waiting for a model is no act of a person: the run must go on as it would have without the wait.
        parts.gate.pause("endpoint")
        lessons.settle()
        await asyncio.sleep(0)
        assert not lesson.done()
        parts.gate.pause()
        lessons.settle()
        await lesson
        assert session.state.nodes[0].lesson == "of 0" and not lessons.rounds


async def test_model_reports_on_surprises_alone(start: Start, server: LlmServer) -> None:
    run = start(rounds=3, analyzer={"only": "surprises"})
    await work(run)
    # Each design of the server gains, so that each is the new best; the seed is none.
    assert sum(map(is_report, server.requests)) == 3
    reports = [event.data.analyzer for event in events(run, ev.AnalyzeDone) if isinstance(event.data, ev.AnalyzeDone)]
    assert sorted(reports) == ["m", "m", "m", "rules"]


async def test_surprise_is_a_best_a_failure_or_a_large_loss(start: Start) -> None:
    async with open_parts(start()) as parts:
        session = parts.session
        session.emit(ev.EvalDone("ok", -5.0, stage="explore"), round=0, node=0)
        session.emit(ev.BestCrowned(-5.0), round=0, node=0)
        for score in (-4.9, -5.1, -4.8, -5.2):
            add_node(session, score)
        usual, large = add_node(session, -5.15), add_node(session, -9.0)
        crashed = add_node(session, None, status="crashed")
        state = session.state
        found = {node: is_surprise(state, state.nodes[node]) for node in (0, 1, usual, large, crashed)}
        assert found == {0: False, 1: False, usual: False, large: True, crashed: True}
        session.emit(ev.BestCrowned(-4.8, 0), round=3, node=3)
        assert is_surprise(session.state, session.state.nodes[3])


def numbers_asked(request: Request) -> list[int]:
    """Return the numbers of the programs that a report is asked for."""
    return [int(number) for number in re.findall(r"^# Program #(\d+)", request.text, re.MULTILINE)]


async def test_one_call_writes_the_lessons_of_several_nodes(start: Start, server: LlmServer) -> None:
    left_out: list[int] = []

    def answer(request: Request) -> Reply:
        numbers = numbers_asked(request)
        if not is_report(request) or len(numbers) == 1:
            return search(request)
        # The last of the first group is left out, and asked for alone.
        told = numbers if left_out else numbers[:-1]
        left_out.extend(numbers[:1])
        return Reply(json.dumps({"reports": [{**REPORT, "node": n, "lesson": f"Of node {n}."} for n in told]}))

    server.answer = answer
    run = start(rounds=5, analyzer={"batch": 3})
    await work(run)
    asked = [numbers_asked(request) for request in server.requests if is_report(request)]
    assert asked == [[0, 1, 2], [2], [3, 4, 5]]
    state = fold(run)
    assert [f"Of node {node.id}." in node.lesson for node in state.nodes] == [True, True, False, True, True, True]
    assert "Smaller steps pay." in state.nodes[2].lesson


async def test_last_lessons_are_written_together_although_they_are_few(start: Start, server: LlmServer) -> None:
    server.answer = lambda request: (
        Reply(json.dumps({"reports": [{**REPORT, "node": n} for n in numbers_asked(request)]}))
        if is_report(request) and len(numbers_asked(request)) > 1
        else search(request)
    )
    run = start(rounds=4, workers=2, analyzer={"batch": 4})
    await work(run)
    reported = [number for one in server.requests if is_report(one) for number in numbers_asked(one)]
    assert sorted(reported) == [0, 1, 2, 3, 4]
    assert sum(map(is_report, server.requests)) == 2
