"""The designer reports exhaustion exactly if nothing new can be made from a run's nodes and priors."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import msgspec
import pytest

from engine.designers.base import Design, DesignerError, NothingToDesign
from engine.designers.recombine import RecombineDesigner
from engine.journal.events import DesignDone, EvalDone, Event, NodePruned, PriorChanged
from engine.llm.requests import ContextNode, DesignRequest, Rejection
from engine.programs.outline import outline
from engine.task.spec import Seed
from tests.engine.designers.programs import SPEC, Scores, prior, request

PLAIN = "def part(x):\n    return x\n\n\ndef total():\n    return part(1)\n"
SWITCHES = "A = True  # tune: flip\nB = 'a'  # tune: choice a|b|c\n\n\ndef total():\n    return A, B\n"


class Population:
    """A small run: designs become nodes with scores, and parents are drawn among them."""

    def __init__(self, seed: str) -> None:
        self.designer = RecombineDesigner(SPEC, [Seed("seed", seed)], gained=Scores().gained)
        self.nodes: list[ContextNode] = []
        self.add(Design(seed, "seed", "seed", "", []))

    def tell(self, data: Any, node: int | None = None) -> None:
        self.designer.apply(Event(1, 0, 1, node, data))

    def add(self, design: Design, status: Any = "ok") -> None:
        number = len(self.nodes)
        score = 1.0 if status == "ok" else None
        digest = outline(design.code).digest
        self.tell(DesignDone("", design.operator, design.name, "", design.parents, digest=digest), number)
        self.tell(EvalDone(status, score), number)
        self.nodes.append(ContextNode(number, design.code, status, score))

    def request(self, seed: int, shown: int = 3, **fields: Any) -> DesignRequest:
        scored = [node for node in self.nodes if node.score is not None]
        parent, *others = random.Random(seed).sample(scored, min(len(scored), shown + 1))
        return request(seed, **{"parent": parent, "inspirations": others, "priors": [], "all_priors": True, **fields})


async def until_the_end(run: Population, **fields: Any) -> str:
    """Design until nothing is left; return the reason."""
    for seed in range(100):
        try:
            run.add(await run.designer.design(run.request(seed, **fields)))
        except NothingToDesign as exc:
            return str(exc)
        except DesignerError as exc:
            assert "are programs that the run has had" in str(exc)
    pytest.fail("it never came to an end")


@pytest.fixture
async def closing() -> Any:
    made: list[Population] = []
    yield made
    for run in made:
        await run.designer.aclose()


@pytest.fixture
def start(closing: list[Population]) -> Any:
    def begin(seed: str) -> Population:
        closing.append(Population(seed))
        return closing[-1]

    return begin


async def test_program_without_tunable_values_is_reported_at_once(start: Any) -> None:
    run = start(PLAIN)
    with pytest.raises(NothingToDesign, match="there is nothing to recombine: no prior, node or number offers"):
        await run.designer.design(run.request(0))


async def test_all_combinations_of_switches_are_made_before_exhaustion(start: Any) -> None:
    run = start(SWITCHES)
    reason = await until_the_end(run)
    assert len({node.code for node in run.nodes}) == len(run.nodes) == 6
    assert reason == "all that the run's nodes and priors can be combined to is made"


async def test_all_combinations_of_recipes_are_made_before_exhaustion(start: Any) -> None:
    run = start(PLAIN.replace("return part(1)", "return part(1), other()") + "\n\ndef other():\n    return 2\n")
    recipes = [
        prior("a", "def part(x):\n    return -x\n"),
        prior("b", "def part(x):\n    return x * x\n"),
        prior("c", "def other():\n    return 3\n"),
    ]
    await until_the_end(run, priors=recipes)
    assert len({node.code for node in run.nodes}) == len(run.nodes) == 6


async def test_bounded_whole_numbers_are_exhausted_and_floats_are_not(start: Any) -> None:
    run = start("K = 3  # tune: scale 1..9\n\n\ndef total():\n    return K\n")
    await until_the_end(run)
    assert sorted(int(node.code.split()[2]) for node in run.nodes) == list(range(1, 10))
    endless = start("K = 3.0  # tune: scale 1..9\n\n\ndef total():\n    return K\n")
    for seed in range(40):
        endless.add(await endless.designer.design(endless.request(seed)))


async def test_combinations_of_many_numbers_are_not_held_in_memory() -> None:
    code = f"WEIGHTS = {[5] * 60}\n\n\ndef total():\n    return sum(WEIGHTS)\n"
    spec = msgspec.structs.replace(SPEC, max_program_bytes=10)
    designer = RecombineDesigner(spec, [Seed("seed", code)], gained=Scores().gained)
    tracemalloc.start()
    try:
        with pytest.raises(DesignerError, match="120 possible edits: the edited program is longer"):
            await designer.design(request(0, code, priors=[]))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
        await designer.aclose()


async def test_exhaustion_is_not_claimed_if_priors_or_nodes_are_missing(start: Any) -> None:
    run = start(SWITCHES)
    for seed in range(30):
        try:
            run.add(await run.designer.design(run.request(seed, all_priors=False)))
        except NothingToDesign:
            pytest.fail("a prior that was not shown may hold a recipe")
        except DesignerError as exc:
            assert "all combinations of" in str(exc)
            break
    with pytest.raises(NothingToDesign):
        for seed in range(10):
            await _in_vain(run, seed, shown=5)
    other = start(PLAIN)
    other.add(Design(PLAIN.replace("return x", "return -x"), "injected", "", "", []))
    with pytest.raises(DesignerError) as caught:
        await other.designer.design(other.request(0, shown=0))
    assert not isinstance(caught.value, NothingToDesign), "the other node has another part"


async def _in_vain(run: Population, seed: int, **fields: Any) -> None:
    try:
        await run.designer.design(run.request(seed, **fields))
    except NothingToDesign:
        raise
    except DesignerError:
        return
    pytest.fail("nothing was left")


async def test_added_node_or_prior_ends_exhaustion(start: Any) -> None:
    run = start(PLAIN)
    with pytest.raises(NothingToDesign):
        await run.designer.design(run.request(0))
    run.tell(PriorChanged("new", change="added"))
    added = prior("new", "def part(x):\n    return -x\n")
    assert (await run.designer.design(run.request(0, priors=[added]))).operator == "swap"
    run.add(Design(PLAIN.replace("return x", "return x - 1") + "\n\nX = 1\n", "injected", "", "", []))
    with pytest.raises(DesignerError) as caught:
        await run.designer.design(run.request(1, shown=0))
    assert not isinstance(caught.value, NothingToDesign)
    run.tell(NodePruned(), 1)
    with pytest.raises(NothingToDesign):
        await run.designer.design(request(2, parent=run.nodes[0], priors=[], all_priors=True))


async def test_inspiration_replaces_exhausted_parent(start: Any) -> None:
    run = start(PLAIN)
    other = ContextNode(1, PLAIN.replace("part(1)", "part(1.5)"), "ok", 1.0)
    run.add(Design(other.code, "injected", "", "", []))
    run.add(Design(other.code.replace("1.5", "1"), "seed", "", "", []))
    asked = request(3, parent=run.nodes[0], inspirations=[other], priors=[])
    # The seed could only become the other node, which exists.
    design = await run.designer.design(asked)
    assert design.parents[0] == 1
    assert design.operator == "tune"


async def test_rejections_of_round_count_as_tried(start: Any) -> None:
    run = start("A = True  # tune: flip\n\n\ndef total():\n    return A\n")
    design = await run.designer.design(run.request(0))
    refused = [Rejection("static", "no", design.code)]
    with pytest.raises(NothingToDesign):
        await run.designer.design(run.request(0, attempt=1, rejections=refused))


async def test_nothing_outside_of_blocks_is_changed() -> None:
    outside = "B = True  # tune: flip\n\n\ndef plot(x):\n    return x * 3\n"
    run = Population(
        f"# EVOLVE-BLOCK-START\nA = True  # tune: flip\n# EVOLVE-BLOCK-END\n{outside}\n\ndef total():\n    return A\n"
    )
    try:
        await until_the_end(run)
    finally:
        await run.designer.aclose()
    assert [node.code.splitlines()[1].partition("  #")[0] for node in run.nodes] == ["A = True", "A = False"]
    assert all(outside in node.code for node in run.nodes)
