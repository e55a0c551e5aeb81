"""A packing must be computed: whatever a program hides a solution's coordinates in, it is refused or scores no more."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.fold import fold_run
from tests.engine.tasks.builtin import BuiltIn
from tests.engine.tasks.mathematics import real_folder

CIRCLES = BuiltIn("circle_packing")

Count = Callable[[str, list[tuple[float, float]]], int]


@pytest.fixture(scope="module")
def count() -> Count:
    with CIRCLES.importable() as load:
        found: Count = load("written").count_written
    return found


def layout() -> list[tuple[float, float]]:
    """26 centers somewhere in the square, apart from each other, as nobody has published them."""
    rng = np.random.default_rng(8)
    found: list[tuple[float, float]] = []
    while len(found) < 26:
        x, y = rng.random(2) * 0.86 + 0.07
        if all(math.dist((x, y), other) > 0.12 for other in found):
            found.append((float(x), float(y)))
    return found


CENTERS = layout()
FLAT = [value for center in CENTERS for value in center]
DIGITS = "".join(f"{value:.5f}"[2:] for value in FLAT)
PACKED = struct.pack("<52d", *FLAT)

HIDDEN = {
    "literals": repr(CENTERS),
    "two digits": repr([(round(x, 2), round(y, 2)) for x, y in CENTERS]),
    "three digits, then polished": repr([(round(x + 4e-4, 3), round(y - 3e-4, 3)) for x, y in CENTERS]),
    "xs and ys apart": f"X = {[x for x, _ in CENTERS]}\nY = {[y for _, y in CENTERS]}",
    "with radii between": repr([(x, y, 0.05) for x, y in CENTERS]),
    "in another order": repr(sorted(CENTERS)),
    "mirrored": repr([(1 - y, x) for x, y in CENTERS]),
    "text": repr(" ".join(f"{value:.4f}" for value in FLAT)),
    "a text each": repr([f"{x:.3f}/{y:.3f}" for x, y in CENTERS]),
    "whole numbers": repr([round(value * 10**5) for value in FLAT]),
    "parts of 65536": repr([round(value * 2**16) for value in FLAT]),
    "one long number": f"N = {DIGITS}",
    "digits": repr(DIGITS),
    "bytes of doubles": repr(PACKED),
    "base64 of doubles": repr(base64.b64encode(PACKED).decode()),
    "base85 of packed floats": repr(base64.b85encode(zlib.compress(struct.pack(">52f", *FLAT))).decode()),
    "hexadecimal": repr(PACKED.hex()),
    "packed text": repr(base64.b64encode(zlib.compress(repr(CENTERS).encode())).decode()),
    "half precision as a number": f"N = {int.from_bytes(struct.pack('<52e', *FLAT), 'big')}",
    "sums": "[" + ", ".join(f"{value - 0.25!r} + 0.25" for value in FLAT) + "]",
    "products": "[" + ", ".join(f"{value * 3!r} / 3" for value in FLAT) + "]",
    "moved and scaled": repr([round(value * 37 + 11, 3) for value in FLAT]),
    "complex numbers": repr([complex(x, y) for x, y in CENTERS]),
    "a sign each": repr("".join(chr(33 + round(value * 90)) for value in FLAT)),
    "keyword arguments": "f(" + ", ".join(f"a{k}={value:.4f}" for k, value in enumerate(FLAT)) + ")",
}


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_written_packing_is_found(count: Count, hidden: str) -> None:
    assert count(HIDDEN[hidden], CENTERS) >= 24
    assert count(f"{CIRCLES.seed}\n{HIDDEN[hidden]}", CENTERS) >= 20, "among the numbers of a longer program, too"


def test_computed_packings_are_not_taken_for_written_ones(count: Count) -> None:
    """Programs of the search, tuned constants and all, against layouts that they begin with."""
    for name in ("circle_packing_recombine", "circle_packing_llm", "circle_packing_steered"):
        with JournalReader(Run(Path("sample_runs", name)).db) as reader:
            state = fold_run(reader)
            assert state.best is not None
            namespace: dict[str, Any] = {}
            exec(reader.text(state.nodes[state.best].program), namespace)
            begun = namespace["initial_centers"](np.random.default_rng(1)).tolist()
            found = [count(reader.text(node.program), begun) for node in state.nodes[::9]]
        assert max(found) <= 11
    rng = np.random.default_rng(1)
    assert max(count(CIRCLES.seed, rng.random((26, 2)).tolist()) for _ in range(5)) <= 6


ODD = {
    "nothing": "",
    "no Python": "f(",
    "deep": "X = " + "-" * 3000 + "1",
    "a number of 20,000 digits": "N = 0x" + "9" * 20000,
    "beyond all bounds": "X = 9**9**9 * 1e999 - 1e999",
    "a long text": repr("A" * 70000),
    "a text that unpacks to much": repr(zlib.compress(b"0" * 10**8)),
}


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_programs_end_the_search_for_numbers(count: Count, odd: str) -> None:
    assert count(ODD[odd], CENTERS) <= 4


MEMORISED = f"""\
C = {CENTERS!r}


def construct_packing():
    r = [min(x, 1 - x, y, 1 - y) for x, y in C]
    for i in range(26):
        for j in range(i):
            d = ((C[i][0] - C[j][0]) ** 2 + (C[i][1] - C[j][1]) ** 2) ** 0.5
            if r[i] + r[j] > d:
                r[i], r[j] = r[i] * d / (r[i] + r[j]), r[j] * d / (r[i] + r[j])
    return C, r
"""

GRID = """\
def construct_packing():
    centers = [((k % 6 + 0.5) / 6, (k // 6 + 0.5) / 6) for k in range(26)]
    return centers, [1 / 12 + MORE] * 26


MORE = 0.0
"""


def test_evaluation_refuses_memorised_and_gives_nothing_for_the_tolerance(tmp_path: Path) -> None:
    copy = real_folder("circle_packing", tmp_path / "task")
    memorised, _ = asyncio.run(CIRCLES.evaluate(tmp_path, MEMORISED, task_folder=copy))
    assert memorised.status == "invalid"
    assert memorised.reason.startswith("26 of the 26 centers are written in the program"), memorised.reason
    honest, _ = asyncio.run(CIRCLES.evaluate(tmp_path, GRID, task_folder=copy))
    greedy, _ = asyncio.run(CIRCLES.evaluate(tmp_path, GRID.replace("0.0", "4.9e-7"), task_folder=copy))
    assert honest.score is not None and greedy.score is not None
    assert greedy.metrics["sum_returned"] > honest.score + 1e-5
    assert greedy.score <= honest.score + 1e-12
