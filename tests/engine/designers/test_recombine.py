"""The designer with its real child process: its designs, learning, reproducibility and recovery."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from engine.designers.base import Design, DesignerError
from engine.designers.recombine import RecombineDesigner, check_recipes
from engine.designers.recombine.bandit import Bandit
from engine.designers.recombine.client import EditorClient
from engine.designers.recombine.messages import Hello
from engine.journal.events import Data, DesignDone, DesignRejected, EvalDone, Event, PriorsRecalled
from engine.llm.requests import ContextNode, Rejection
from engine.programs.outline import outline
from tests.e2e.runs import is_running, wait_for
from tests.engine.designers.programs import COMPONENTS, RECIPE, SEED, SEEDS, SPEC, Scores, prior, request, run

BAD = "def first(x):\n    return x - 1000\n"


def make(scores: Scores | None = None, bandit: Bandit | None = None) -> RecombineDesigner:
    return RecombineDesigner(SPEC, SEEDS, gained=(scores or Scores()).gained, bandit=bandit)


@pytest.fixture
async def designer() -> AsyncIterator[RecombineDesigner]:
    made = make()
    yield made
    await made.aclose()


def event(node: int, data: Data) -> Event:
    return Event(seq=1, at=0, round=node, node=node, data=data)


def done(design: Design, digest: str = "") -> DesignDone:
    return DesignDone(
        program="",
        operator=design.operator,
        name=design.name,
        motivation=design.motivation,
        parents=design.parents,
        digest=digest,
        credit=design.credit,
    )


async def test_designs_are_new_programs_that_run(designer: RecombineDesigner) -> None:
    operators: Counter[str] = Counter()
    for seed in range(25):
        design = await designer.design(request(seed))
        assert design.code != SEED
        assert set(outline(design.code).functions) >= COMPONENTS
        run(design.code)
        assert design.parents[0] == 0
        assert design.name
        assert design.motivation
        assert design.credit
        operators[design.operator] += 1
        if "swap" in design.name:
            assert design.priors == ["other-way"]
            assert "Another way" in design.motivation
    assert set(operators) == {"swap", "tune"}


async def test_same_request_after_same_events_gives_same_design() -> None:
    async def twice() -> list[Design]:
        made = make(scores := Scores())
        try:
            designs = []
            for seed in range(6):
                designs.append(await made.design(request(seed)))
                made.apply(event(seed + 1, done(designs[-1])))
                scores[seed + 1] = float(seed)
                made.apply(event(seed + 1, EvalDone(status="ok", score=float(seed))))
            return designs
        finally:
            await made.aclose()

    assert await twice() == await twice()


async def test_another_seed_gives_another_design(designer: RecombineDesigner) -> None:
    assert len({(await designer.design(request(seed))).code for seed in range(8)}) > 2


async def test_bandit_learns_to_prefer_gaining_arms() -> None:
    scores = Scores({0: 1.0})
    designer = make(scores)
    try:
        await _prefers_what_gains(designer, scores)
    finally:
        await designer.aclose()


async def _prefers_what_gains(designer: RecombineDesigner, scores: Scores) -> None:
    priors = [prior("good", RECIPE), prior("bad", BAD), prior("worse", BAD.replace("1000", "2000"))]
    for node in range(1, 60):
        design = await designer.design(request(node, priors=priors))
        scores[node] = 2.0 if "swap/first/good" in design.credit.values() else 0.5
        designer.apply(event(node, done(design)))
        designer.apply(event(node, EvalDone(status="ok", score=scores[node])))
    later = [await designer.design(request(seed, priors=priors)) for seed in range(40)]
    arms = Counter(arm for design in later for arm in design.credit.values())
    assert arms["swap/first/good"] > 25
    assert arms["swap/first/bad"] + arms["swap/first/worse"] < 10


async def test_bandit_starts_with_outcomes_of_earlier_runs(designer: RecombineDesigner) -> None:
    priors = [prior("good", RECIPE), prior("bad", BAD), prior("worse", BAD.replace("1000", "2000"))]
    designer.apply(Event(1, 0, None, None, PriorsRecalled({"good": (9, 3), "bad": (0, 40), "worse": (1, 20)})))
    arms = Counter([
        arm for seed in range(40) for arm in (await designer.design(request(seed, priors=priors))).credit.values()
    ])  # fmt: skip
    assert arms["swap/first/good"] > 2 * (arms["swap/first/bad"] + arms["swap/first/worse"])


def test_recalled_outcomes_weigh_little_and_fade() -> None:
    bandit = Bandit()
    bandit.recall({"good": (60, 0), "poor": (0, 2)})
    assert bandit.chance("swap/first/good") == (1 + 6) / (3 + 6), "no more than a few outcomes"
    assert bandit.chance("swap/second/good#2") == (1 + 6) / (3 + 6), "every recipe of a prior"
    assert bandit.chance("swap/first/poor") == 1 / (3 + 2)
    assert bandit.chance("swap/first/other") == bandit.chance("tune/good/up") == bandit.chance("swap/good") == 1 / 3
    for _ in range(40):
        bandit.learn("swap/first/good", gained=False)
    assert bandit.chance("swap/first/good") < 0.1


@pytest.mark.parametrize("gains", [True, False])
async def test_outcome_is_credited_once(gains: bool) -> None:
    heard: list[tuple[str, bool]] = []

    class Listening(Bandit):
        def learn(self, arm: str, gained: bool, share: float = 1.0) -> None:
            heard.append((arm, gained))

    made = make(Scores({0: 1.0, 1: 2.0 if gains else 1.0}), Listening())
    credit = {"edit1": "swap/first/good"}
    made.apply(event(1, DesignDone("", "swap", "", "", parents=[0], credit=credit)))
    made.apply(event(1, EvalDone(status="ok", score=2.0)))
    assert heard == [("swap", gains), ("swap/first", gains), ("swap/first/good", gains)]
    # A further measurement: the outcome is already credited.
    made.apply(event(1, EvalDone(status="ok", score=5.0)))
    assert len(heard) == 3


async def test_mode_selects_kind_of_edit(designer: RecombineDesigner) -> None:
    other = ContextNode(4, SEED.replace("return x * RATE", "return x - RATE"), "ok", 0.5)
    assert other.code != SEED
    crossed = [await designer.design(request(seed, inspirations=[other], mode="crossover")) for seed in range(4)]
    assert {design.operator for design in crossed} == {"exchange"}
    assert all(design.parents == [0, 4] for design in crossed)
    broken = ContextNode(7, SEED.replace("return x * RATE", "return x / 0"), "crashed", None, "crashed in first(): …")
    mended = [await designer.design(request(seed, parent=broken, mode="fix")) for seed in range(4)]
    assert {design.operator for design in mended} == {"drop"}
    # A repaired program that runs again is no evidence that the replacement is good.
    assert all("x / 0" not in design.code and design.credit == {} for design in mended)
    alone = await designer.design(request(1, mode="crossover"))
    assert alone.operator != "exchange"


async def test_bandit_ignores_cancelled_and_learns_from_failed_evaluations() -> None:
    made = make()
    before = made._bandit.chance("tune/RATE/up")
    credit = {"edit1": "tune/RATE/up"}
    made.apply(event(1, DesignDone("", "tune", "", "", parents=[0], credit=credit)))
    made.apply(event(1, EvalDone(status="cancelled")))
    assert made._bandit.chance("tune/RATE/up") == before
    made.apply(event(2, DesignDone("", "tune", "", "", parents=[0], credit=credit)))
    made.apply(event(2, EvalDone(status="crashed")))
    lower = made._bandit.chance("tune/RATE/up")
    assert lower < before
    made.apply(event(3, DesignRejected(attempt=0, check="duplicate", reason="", credit=credit)))
    assert made._bandit.chance("tune/RATE/up") == lower
    made.apply(event(3, DesignRejected(attempt=0, check="size", reason="", credit=credit)))
    assert made._bandit.chance("tune/RATE/up") < lower


async def test_known_and_rejected_programs_are_not_designed_again(designer: RecombineDesigner) -> None:
    fixed = "def first(x):\n    return x\n\n\ndef total():\n    return first(1)\n"
    only = prior("only", "def first(x):\n    return -x\n")
    ask = request(0, fixed, priors=[only])
    design = await designer.design(ask)
    assert design.operator == "swap"
    with pytest.raises(DesignerError, match="nothing new"):
        await designer.design(
            request(0, fixed, priors=[only], attempt=1, rejections=[Rejection("static", "no", design.code)])
        )
    designer.apply(event(1, done(design, outline(design.code).digest)))
    with pytest.raises(DesignerError, match="nothing new"):
        await designer.design(ask)
    with pytest.raises(DesignerError, match="nothing to recombine"):
        await designer.design(request(0, fixed, priors=[]))


async def test_functions_are_exchanged_with_other_nodes(designer: RecombineDesigner) -> None:
    other = ContextNode(7, SEED.replace("return 1", "return 2").replace("x * RATE", "x + RATE"), "ok", 1.0)
    found = [await designer.design(request(seed, priors=[], inspirations=[other])) for seed in range(25)]
    exchanged = [design for design in found if design.operator == "exchange"]
    assert exchanged
    assert all(design.parents == [0, 7] for design in exchanged)
    assert any("return x + RATE" in design.code for design in exchanged)


async def test_blamed_function_is_replaced_by_another_version(designer: RecombineDesigner) -> None:
    code = SEED.replace("return x * RATE", "return x * RATE / 0.0")
    parent = ContextNode(3, code, "crashed", None, lesson="swap first: crashed in first(): division by zero")
    found = [
        await designer.design(request(seed, priors=[prior("other-way", RECIPE)], parent=parent)) for seed in range(30)
    ]
    dropped = [design for design in found if design.operator == "drop"]
    assert any("return x * RATE\n" in design.code for design in dropped), "back to the seed's"
    assert any("_helper" in design.code for design in dropped), "the recipe's"
    assert all("blames first" in design.motivation for design in dropped)
    fine = ContextNode(3, code, "ok", 1.0, lesson="swap first: gained +1 over #0")
    names = [(await designer.design(request(seed, parent=fine))).operator for seed in range(15)]
    assert "drop" not in names


async def test_engine_does_not_load_libcst() -> None:
    script = "import sys, engine.designers.recombine; sys.exit('libcst' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_unreadable_program_raises_designer_error(designer: RecombineDesigner) -> None:
    with pytest.raises(DesignerError, match="not valid Python"):
        await designer.design(request(0, "def total(:\n"))
    with pytest.raises(DesignerError, match="no valid text"):
        await designer.design(request(0, "x = '\udcff'\n"))
    assert (await designer.design(request(0))).code


async def test_killed_child_is_started_again(designer: RecombineDesigner) -> None:
    first = await designer.design(request(1))
    child = designer._editor._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    assert await designer.design(request(1)) == first
    assert designer._editor._child is not child


async def test_many_designs_run_at_once(designer: RecombineDesigner) -> None:
    together = await asyncio.gather(*(designer.design(request(seed)) for seed in range(6)))
    assert together == [await designer.design(request(seed)) for seed in range(6)]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.stdin.readline(); sys.exit(3)", "died twice"),
        ("import sys; sys.stdin.readline(); sys.stdin.readline(); print('nonsense', flush=True)", "died twice"),
        ("import time; time.sleep(60)", "no answer in 0.3 s"),
    ],
)
async def test_failing_child_is_reported_and_ended(script: str, why: str) -> None:
    client = EditorClient(Hello([], [], 1000), timeout=0.3, command=[sys.executable, "-c", script])
    if "died" in why:
        client._timeout = 90
    with pytest.raises(DesignerError, match=why):
        await client.apply(SEED, [])
    child = client._child
    await client.aclose()
    assert child is not None
    assert child.returncode is not None


async def test_child_ends_with_engine() -> None:
    script = (
        "import asyncio, os\n"
        "from engine.designers.recombine.client import EditorClient\n"
        "from engine.designers.recombine.messages import Hello\n"
        "async def main():\n"
        "    client = EditorClient(Hello([], [], 1000))\n"
        "    await client.apply('x = 1', [])\n"
        "    print(client._child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    child = int(ended.stdout)
    wait_for(lambda: not is_running(child), "the end of the child")


def test_recipes_that_fit_no_function_are_reported() -> None:
    fine = prior("fine", RECIPE)
    assert check_recipes(SEEDS, [fine]) == []
    problems = check_recipes(
        SEEDS,
        [
            prior("alien", "def fourth(x):\n    return x\n"),
            prior("arity", "def first(x, y):\n    return x\n"),
            prior("broken", "def first(x:\n"),
            prior("loose", "print(1)\n\n\ndef first(x):\n    return x\n"),
            prior("two", RECIPE, "def second(x):\n    return x\n"),
            prior("star", "from math import *\n\n\ndef first(x):\n    return x\n"),
        ],
    )
    assert [problem.split(".md:")[0] for problem in problems] == [
        f"priors/{name}" for name in ("alien", "arity", "broken", "loose", "two", "star")
    ]
    assert "first(1)" in problems[0]
    assert "priors/broken.md:4: the recipe is not valid Python" in problems[2]
