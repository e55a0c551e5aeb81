"""Names of designs, and that designs differ from their parents in reachable code: with the real child process."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from engine.designers.base import Design
from engine.designers.recombine import RecombineDesigner
from engine.designers.recombine.difference import differences
from engine.designers.recombine.program import parse_program
from engine.llm.requests import ContextNode
from engine.programs.outline import outline
from engine.task.spec import Seed
from tests.engine.designers.programs import RECIPE, SEED, SPEC, Scores, prior, request

PACKING = '''\
"""Bins are filled by a score."""

SLACK = 0.5
WEIGHTS = [1.0, 0.25]
CONFIG = {"power": 2.0, "largest": True}


def score(room, item):
    return WEIGHTS[0] * room + WEIGHTS[1] * item ** CONFIG["power"] - SLACK


def total():
    return sorted(range(3), key=lambda item: score(3, item), reverse=CONFIG["largest"])
'''


@pytest.fixture
async def designer() -> AsyncIterator[RecombineDesigner]:
    made = RecombineDesigner(SPEC, [Seed("seed", PACKING)], gained=Scores().gained)
    yield made
    await made.aclose()


async def designs(designer: RecombineDesigner, parent: ContextNode, *others: ContextNode) -> list[Design]:
    asked = [request(seed, parent=parent, inspirations=list(others), priors=[]) for seed in range(30)]
    return [await designer.design(each) for each in asked]


async def test_titles_list_numbers_if_functions_differ_in_nothing_else(
    designer: RecombineDesigner,
) -> None:
    parent = ContextNode(3, PACKING, "ok", 1.0, lesson="exchange score: worse than #0")
    other = ContextNode(7, PACKING.replace("SLACK = 0.5", "SLACK = 0.75"), "ok", 1.0)
    found = await designs(designer, parent, other)
    assert all("score:" not in design.name for design in found), "score is the same in all"
    crossed = [design for design in found if "from #7" in design.name]
    assert crossed
    assert all("SLACK 0.5 → 0.75: from #7" in design.name for design in crossed)
    assert all(design.parents == [3, 7] for design in crossed)


async def test_titles_name_every_differing_number(designer: RecombineDesigner) -> None:
    found = await designs(designer, ContextNode(0, PACKING, "ok", 1.0))
    tuned: Counter[str] = Counter()
    for design in found:
        changed = differences(parse_program(PACKING), parse_program(design.code))
        assert len(changed) == design.name.count("tune ") == design.name.count(" → ")
        for change in changed:
            assert f"tune {change.name} {change.old} → {change.new}" in design.name
            assert f"{change.old} → {change.new}" in design.motivation
            tuned[change.name] += 1
    assert set(tuned) == {"SLACK", "WEIGHTS[0]", "WEIGHTS[1]", "CONFIG['power']", "CONFIG['largest']"}


async def test_program_that_differs_only_in_layout_gives_no_design(designer: RecombineDesigner) -> None:
    twin = PACKING.replace("def score", "# Filled.\ndef score").replace("WEIGHTS[0] * room", "(WEIGHTS[0]\n * room)")
    assert outline(twin).digest == outline(PACKING).digest
    parent = ContextNode(3, PACKING, "crashed", None, lesson="crashed in score(): worse")
    found = await designs(designer, parent, ContextNode(7, twin, "ok", 1.0))
    assert {design.operator for design in found} == {"tune"}


async def test_combination_is_described_by_its_remaining_changes() -> None:
    made = RecombineDesigner(SPEC, [Seed("seed", SEED)], gained=Scores().gained)
    try:
        for seed in range(40):
            asked = request(seed, priors=[prior("other-way", RECIPE, title="Another way")])
            design = await made.design(asked)
            changed = differences(parse_program(SEED), parse_program(design.code))
            swapped = any(change.owner == "first" for change in changed)
            assert swapped == ("swap first: Another way" in design.name)
            # A swap of first removes RATE, and its tuning with it.
            assert not (swapped and "RATE" in design.name)
            assert len(design.name.split(" + ")) == len(design.credit)
    finally:
        await made.aclose()


def change_texts(before: str, after: str) -> list[str]:
    return [
        f"{change.what} {change.name} {change.old} {change.new}".strip()
        for change in differences(parse_program(before), parse_program(after))
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("SLACK = 0.5", "SLACK = 0.5  # a comment", []),
        ("SLACK = 0.5", "SLACK = 0.5000001", ["value SLACK 0.5 0.5000001"]),
        ('"power": 2.0', '"power": 2', ["value CONFIG['power'] 2.0 2"]),
        ('"largest": True', '"largest": False', ["value CONFIG['largest'] True False"]),
        ("[1.0, 0.25]", "[1.0, 0.25, 0.5]", ["changed WEIGHTS"]),
        ("- SLACK", "+ SLACK", ["changed score"]),
        ("SLACK", "LOSS", ["added LOSS", "changed score", "removed SLACK"]),
        ('"""Bins', 'import math\n"""Bins', []),
    ],
)
def test_differences_are_listed_by_statement(old: str, new: str, told: list[str]) -> None:
    assert change_texts(PACKING, PACKING.replace(old, new)) == told


def test_name_imported_from_another_module_differs() -> None:
    assert change_texts("from math import pi\n", "from cmath import pi\n") == ["changed pi"]
    assert change_texts("import math\nprint(1)\n", "import math\nprint(2)\n") == [
        "value a number outside of functions 1 2"
    ]
