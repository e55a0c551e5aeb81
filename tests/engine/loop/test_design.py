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
from engine.state.novelty import likely_same
from engine.state.trouble import trouble_line
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
    assert isinstance(ended, ev.RoundEnded) and (ended.tokens, ended.seconds > 0) == (240, True)
    assert ended.reason == "2 designs were rejected; the last: duplicate: the same program as node 0"


async def test_attempt_continues_after_those_that_were_refused_before(run: Run, server: LlmServer) -> None:
    async with open_parts(run) as parts:
        round_ = learned_round(parts)
        parts.session.emit(
            ev.DesignRejected(0, "syntax", "line 1", "full", sha256_of(b"x = (")), round=1, blobs=[b"x = ("]
        )
        assert await Design(parts.session, parts.designer, parts.models).run(round_)
    assert "x = (" in server.requests[0].text
    assert [event.data.key for event in events(run, ev.CallDone)] == ["design/1"]  # type: ignore[attr-defined]


async def test_model_that_fails_at_the_form_gets_short_prompts(run: Run, server: LlmServer) -> None:
    function = "I move it left.\n\n```python\ndef left():\n    return X * Z + {}\n```\n"
    server.answer = lambda request: Reply(
        function.format(request.number) if "a function at a time" in request.text else "I would move it."
    )
    async with open_parts(run) as parts:
        design = Design(parts.session, parts.designer, parts.models)
        assert [await design.run(learned_round(parts, number)) for number in (1, 2)] == [False, False]
        assert not server.requests[-1].text.startswith("You improve one")
        assert await design.run(learned_round(parts, 3, "diff"))
        made = parts.session.state.nodes[-1]
        assert (made.operator, made.motivation) == ("diff", "I move it left.")
    told = [event.data for event in events(run, ev.PromptsShortened)]
    assert told == [ev.PromptsShortened("m", "4 of its last 4 designs could not be used")]
    calls = [event.data for event in events(run, ev.CallStarted)]
    assert [call.brief for call in calls] == [False] * 4 + [True]  # type: ignore[attr-defined]
    assert calls[-1].aim == 1200  # type: ignore[attr-defined]


@pytest.mark.parametrize("setting", [{"brief_prompts": False}, {"context_tokens": 4000}])
async def test_short_prompts_are_told_only_where_they_begin(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer, setting: dict[str, Any]
) -> None:
    """Settings may rule them out, or leave so little room that they are short from the beginning."""
    server.answer = lambda request: Reply("I would move it.")
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, **setting}}
    run = make_run(make_task(), tmp_path / "runs", models=models, designer={"attempts": 5})
    async with open_parts(run) as parts:
        assert not await Design(parts.session, parts.designer, parts.models).run(learned_round(parts))
    assert not events(run, ev.PromptsShortened)


async def test_next_design_is_told_what_came_of_those_before(run: Run, server: LlmServer) -> None:
    async with open_parts(run) as parts:
        design = Design(parts.session, parts.designer, parts.models)
        for number, score in ((1, None), (2, 3.5)):
            await design.run(learned_round(parts, number))
            measure(parts.session, number, score, "ok" if score else "crashed")
            parts.session.emit(ev.BestCrowned(score), round=number, node=number) if score else None
        await design.run(learned_round(parts, 3))
    user = server.requests[2].text
    assert "step 0: crashed\nstep 1: 3.5, better by 4.5\n" in user
    assert "#0 ranks 2 of 2. The best is #2 with 3.5; before it #0 with -1." in user


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


async def test_duplicate_under_other_names_is_refused(run: Run, server: LlmServer) -> None:
    code = SEED.replace("left", "west").replace("Z = 2.0", "WIDTH = 2.0").replace("Z", "WIDTH")
    code += "\n\ndef unused(x):\n    return x\n"
    server.answer = lambda request: Reply(f"<name>n</name><motivation>m</motivation><program>\n{code}</program>")
    async with open_parts(run) as parts:
        assert not await Design(parts.session, parts.designer, parts.models).run(learned_round(parts))
    refused = [event.data for event in events(run, ev.DesignRejected)]
    assert [item.check for item in refused if isinstance(item, ev.DesignRejected)] == ["duplicate", "duplicate"]
    assert "the same as node 0 under other names" in server.requests[1].text


BLOCK = "# EVOLVE-BLOCK-START\n{}# EVOLVE-BLOCK-END\n\n\ndef point():\n    return X, {}\n"


async def test_text_outside_of_blocks_is_put_back(make_task: TaskMaker, tmp_path: Path, server: LlmServer) -> None:
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
    task = make_task(seed=BLOCK.format("X = 0.5\n", "1"))
    toml = (task / "task.toml").read_text().replace("[interface]\n", "[interface]\nblocks = true\n")
    (task / "task.toml").write_text(toml)
    run = make_run(task, tmp_path / "runs", models=models, designer={"attempts": 2})
    answers = iter(["X = 2.5\n\n\ndef point():\n    return X, 7\n", BLOCK.format("X = 2.5\n", "7")])
    server.answer = lambda request: Reply(
        f"<name>n</name><motivation>m</motivation><program>\n{next(answers)}</program>"
    )
    async with open_parts(run) as parts:
        assert await Design(parts.session, parts.designer, parts.models).run(learned_round(parts))
        made = parts.session.text(parts.session.state.nodes[1].program)
    assert made == BLOCK.format("X = 2.5\n", "1")
    assert "must keep the 1 pair of lines" in server.requests[1].text
    assert "`EVOLVE-BLOCK-START`" in server.requests[0].text


PARTS = "# ==== FILE: point.py ====\nfrom limits import LOW\n\nX = {}\n\n\ndef point():\n    return X, 1\n"
LIMITS = "\n# ==== FILE: limits.py ====\nLOW = {}\n"


async def test_files_that_must_stay_are_refused_in_a_sentence_that_models_see(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
    task = make_task()
    (task / "seed.py").unlink()
    (task / "seed").mkdir()
    (task / "seed/point.py").write_text(PARTS.format(0.5).partition("\n")[2])
    (task / "seed/limits.py").write_text("LOW = 0\n")
    table = '[program]\nfiles = ["*.py"]\neditable = ["point.py"]\n\n[interface]\n'
    (task / "task.toml").write_text((task / "task.toml").read_text().replace("[interface]\n", table))
    run = make_run(task, tmp_path / "runs", models=models, designer={"attempts": 3})
    programs = [LIMITS.format(1), LIMITS.format(0) + "\n# ==== FILE: new.py ====\nNEW = 1\n", LIMITS.format(0)]
    answers = iter(PARTS.format(2.5) + other for other in programs)
    server.answer = lambda request: Reply(
        f"<name>n</name><motivation>m</motivation><program>\n{next(answers)}</program>"
    )
    async with open_parts(run) as parts:
        assert await Design(parts.session, parts.designer, parts.models).run(learned_round(parts))
    assert "Only these may be changed, added or left out: point.py;" in server.requests[0].text
    for number, what in enumerate(["changes the file limits.py", "adds the file new"]):
        assert what in server.requests[number + 1].text
    rejected = [event.data for event in events(run, ev.DesignRejected)]
    assert {data.check for data in rejected if isinstance(data, ev.DesignRejected)} == {"files"}


async def test_design_near_to_a_measured_one_is_asked_again_once(
    make_task: TaskMaker, tmp_path: Path, server: LlmServer
) -> None:
    """A helper that nothing uses changes nothing, as ten designs before have shown."""
    models: dict[str, Any] = {"m": {"model": "m", "base_url": server.url, "retries": 0}}
    run = make_run(make_task(), tmp_path / "runs", models=models, novelty={"near": "lines"}, seed=1)
    helper = "\n\ndef never():\n    return point() + {}\n\n\nprint(never)\n"
    server.answer = lambda request: Reply(
        f"<name>n</name><motivation>m</motivation><program>\n{SEED}{helper.format(request.number)}</program>"
    )
    async with open_parts(run) as parts:
        design, state = Design(parts.session, parts.designer, parts.models), parts.session.state
        for number in range(1, 12):
            assert await design.run(learned_round(parts, number))
            # With the same score as the seed's.
            measure(parts.session, number, -1.0)
        assert not events(run, ev.DesignRejected), "ten pairs come first"
        for number in range(12, 17):
            assert await design.run(learned_round(parts, number)), "what is near again is measured"
        assert state.novelty.refused >= 3
        assert likely_same(state.novelty, state.novelty.waiting[16][0]) is not None
    refused = [event.data for event in events(run, ev.DesignRejected)]
    assert len(refused) == state.novelty.refused
    first = refused[0]
    assert isinstance(first, ev.DesignRejected) and (first.check, first.attempt) == ("near", 0)
    assert first.near is not None and f"like node {first.near.node} in all but the numbers" in first.reason
    assert any(first.reason in request.text for request in server.requests[12:]), "the model is told"
    assert "design refused" in trouble_line(events(run, ev.DesignRejected)[0])
