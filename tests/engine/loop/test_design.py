"""The design stage over a real journal, with a model behind a real HTTP server, without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.designers.base import Design as Candidate
from engine.designers.base import NothingToDesign
from engine.errors import Stopping
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.llm.requests import DesignRequest, Mode
from engine.loop.stages.design import Design, add_injected
from engine.runs.folder import Run
from engine.state.node import OpenRound
from tests.conftest import SEED, TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, measure, open_parts
from tests.llm_server import LlmServer, Reply, llm_server, search


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server(search) as served:
        yield served


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> Run:
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
    return make_run(make_task(), tmp_path / "runs", models=models, designer={"attempts": 2})


def learned_round(parts: Parts, number: int = 1, mode: Mode = "full") -> OpenRound:
    """Open a round whose learn stage is done."""
    if parts.session.state.nodes[0].status is None:
        measure(parts.session, 0, -1.0)
    parts.session.emit(ev.RoundStarted(), ev.LearnDone(0, mode=mode), round=number)
    return parts.session.state.open_rounds[number]


async def test_accepted_program_is_in_the_journal_when_the_stage_ends(run: Run, server: LlmServer) -> None:
    async with open_parts(run) as parts:
        round_ = learned_round(parts)
        assert await Design(parts.session, parts.designer, parts.models).run(round_)
        (seed, made) = (event.data for event in events(run, ev.DesignDone))
        assert isinstance(seed, ev.DesignDone) and isinstance(made, ev.DesignDone)
        assert (made.operator, made.name, made.parents) == ("full", "step 0", [0])
        assert "X = 0.515625" in parts.session.text(made.program)
        assert round_.node == 1
    assert len(server.requests) == 1


async def test_duplicate_is_refused_with_its_reason_in_the_next_prompt(run: Run, server: LlmServer) -> None:
    server.answer = lambda request: Reply(f"<name>n</name><motivation>m</motivation><program>\n{SEED}</program>")
    async with open_parts(run) as parts:
        round_ = learned_round(parts)
        assert not await Design(parts.session, parts.designer, parts.models).run(round_)
        assert 1 not in parts.session.state.open_rounds
    assert [(event.data.attempt, event.data.check) for event in events(run, ev.DesignRejected)] == [  # type: ignore[attr-defined]
        (0, "duplicate"),
        (1, "duplicate"),
    ]
    assert "the same program as node 0" in server.requests[1].text
    (ended,) = (event.data for event in events(run, ev.RoundEnded))
    assert ended == ev.RoundEnded(
        "no_design", "2 designs were rejected; the last: duplicate: the same program as node 0"
    )


async def test_attempt_continues_after_those_that_were_refused_before(run: Run, server: LlmServer) -> None:
    async with open_parts(run) as parts:
        round_ = learned_round(parts)
        parts.session.emit(
            ev.DesignRejected(0, "syntax", "line 1", "full", sha256_of(b"x = (")), round=1, blobs=[b"x = ("]
        )
        assert await Design(parts.session, parts.designer, parts.models).run(round_)
    assert "x = (" in server.requests[0].text
    assert [event.data.key for event in events(run, ev.CallDone)] == ["design/1"]  # type: ignore[attr-defined]


class Exhausted:
    """A designer that has made all that it can."""

    name = "exhausted"
    modes: tuple[Mode, ...] = ("full",)
    reads_hints = False

    def apply(self, event: ev.Event) -> None:
        """Learn nothing."""

    async def design(self, request: DesignRequest) -> Candidate:
        """Have no design."""
        raise NothingToDesign("all is made")

    async def aclose(self) -> None:
        """Have no processes."""


async def test_round_ends_exhausted_after_one_attempt_if_nothing_is_left(run: Run) -> None:
    async with open_parts(run) as parts:
        parts.designer.current = Exhausted()
        assert not await Design(parts.session, parts.designer, parts.models).run(learned_round(parts))
    assert len(events(run, ev.DesignRejected)) == 1
    assert [event.data for event in events(run, ev.RoundEnded)] == [ev.RoundEnded("no_design", "all is made", True)]


async def test_stopping_engine_leaves_the_round_open(run: Run, server: LlmServer) -> None:
    async with open_parts(run) as parts:
        round_ = learned_round(parts)
        parts.gate.stop()
        with pytest.raises(Stopping):
            await Design(parts.session, parts.designer, parts.models).run(round_)
        assert 1 in parts.session.state.open_rounds
    assert not server.requests


async def test_injected_program_becomes_a_node(run: Run) -> None:
    code = SEED.replace("0.5", "0.75").encode()
    async with open_parts(run) as parts:
        session = parts.session
        session.emit(ev.Injected("program", program=sha256_of(code), name="mine", parent=0), blobs=[code])
        session.emit(ev.RoundStarted(injected=session.state.seq), round=1)
        add_injected(session, session.state.open_rounds[1])
    made = events(run, ev.DesignDone)[-1].data
    assert isinstance(made, ev.DesignDone)
    assert (made.operator, made.name, made.motivation, made.parents) == ("injected", "mine", "given by a person", [0])
    assert made.size == len(code)
