"""Landscapes on which samplers are compared: what a candidate is, how an answer edits it, and its score.

Each is small enough that thousands of searches run in one process. An answer mocks a model: mostly a small edit
of the parent, now and then a large one or a mix with an inspiration, and one in twelve that does not run. It depends on
the parent, the inspirations and the generator alone, so that every sampler gets answers of the same quality.
"""

from __future__ import annotations

import ast
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["LANDSCAPES", "Landscape", "answer", "source_of"]

Vector = tuple[float, ...]
FAILS = 1 / 12
"""Chance that an answer does not run."""


@dataclass(frozen=True)
class Landscape:
    """A search problem; higher scores are better.

    Args:
        name: for the rows.
        start: draws the seed program.
        edit: changes a candidate, a little or much.
        mix: puts parts of another candidate into one.
        score: what an evaluation returns.
        noise: standard deviation that an evaluation adds; the figure of a search is without it.
    """

    name: str
    start: Callable[[random.Random], Vector]
    edit: Callable[[Vector, random.Random, bool], Vector]
    mix: Callable[[Vector, Vector, random.Random], Vector]
    score: Callable[[Vector], float]
    noise: float = 0.0


def answer(
    landscape: Landscape,
    parent: Vector,
    beside: Sequence[Vector],
    rng: random.Random,
    large: float = 0.15,
    mixes: float = 0.1,
) -> Vector | None:
    """Return the candidate that a mock model writes; None if it does not run.

    Args:
        landscape: the search problem.
        parent: what is edited.
        beside: the inspirations.
        rng: the only source of chance.
        large: chance of a large edit.
        mixes: chance of a mix with an inspiration.
    """
    kind = rng.random()
    if kind < FAILS:
        return None
    if beside and kind < FAILS + mixes:
        return landscape.edit(landscape.mix(parent, rng.choice(beside), rng), rng, False)
    return landscape.edit(parent, rng, kind > 1 - large)


def source_of(landscape: Landscape, point: Vector) -> str:
    """Return a candidate as the text of a program, in which every digit stands."""
    if landscape.name == "formula":
        return _source(point)
    return "\n".join(f"x[{at}] = {value!r}" for at, value in enumerate(point))


# Numbers


def _start(size: int, low: float, high: float) -> Callable[[random.Random], Vector]:
    return lambda rng: tuple(rng.uniform(low, high) for _ in range(size))


def _step(small: float, large: float, low: float, high: float) -> Callable[[Vector, random.Random, bool], Vector]:
    def edit(point: Vector, rng: random.Random, much: bool) -> Vector:
        # A third of the numbers, at least one, as an edit of a program leaves most of it alone.
        sure, step = rng.randrange(len(point)), large if much else small
        return tuple(
            min(high, max(low, value + rng.gauss(0, step))) if at == sure or rng.random() < 1 / 3 else value
            for at, value in enumerate(point)
        )

    return edit


def _mix(one: Vector, other: Vector, rng: random.Random) -> Vector:
    return tuple(b if rng.random() < 0.5 else a for a, b in zip(one, other, strict=True))


def _sphere(point: Vector) -> float:
    return -sum(value * value for value in point)


def _rastrigin(point: Vector) -> float:
    return -sum(value * value - 10 * math.cos(2 * math.pi * value) + 10 for value in point)


def _rosenbrock(point: Vector) -> float:
    pairs = itertools.pairwise(point)
    return -math.log1p(sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairs))


def _rugged(point: Vector) -> float:
    waves = sum(math.sin(3.1 * a + 1.7 * b) for a, b in zip(point, point[1:] + point[:1], strict=True))
    return 3 * waves - sum(value * value for value in point)


def _plateau(point: Vector) -> float:
    """Steps: most small edits change nothing."""
    return -float(sum(math.floor(abs(value) * 1.5) for value in point))


_PEAKS = [
    (tuple(random.Random(71 + peak).uniform(-4, 4) for _ in range(4)), 5.0 + 0.7 * peak, 1.6 - 0.1 * peak)
    for peak in range(8)
]


def _peaks(point: Vector) -> float:
    """Eight hills: the higher, the narrower."""
    return max(
        height * math.exp(-sum((a - b) ** 2 for a, b in zip(point, centre, strict=True)) / (2 * width * width))
        for centre, height, width in _PEAKS
    )


# Bits


def _bits(size: int) -> Callable[[random.Random], Vector]:
    return lambda rng: tuple(float(rng.random() < 0.3) for _ in range(size))


def _flip(point: Vector, rng: random.Random, much: bool) -> Vector:
    flipped = set(rng.sample(range(len(point)), 6 if much else rng.choice((1, 1, 2, 3))))
    return tuple(1.0 - bit if at in flipped else bit for at, bit in enumerate(point))


def _trap(point: Vector) -> float:
    """Blocks of four bits: the score falls with every bit set, until all four are."""
    blocks = [int(sum(point[at : at + 4])) for at in range(0, len(point), 4)]
    return float(sum(4 if ones == 4 else 3 - ones for ones in blocks))


# Real programs


def _circles(point: Vector) -> float:
    """Sum of radii of ten circles in the unit square: centres are the candidate, radii grow in turn."""
    centres = list(zip(point[::2], point[1::2], strict=True))
    radii: list[float] = [min(x, y, 1 - x, 1 - y) for x, y in centres]
    for i, (x, y) in enumerate(centres):
        for j in range(i):
            gap = math.hypot(x - centres[j][0], y - centres[j][1])
            if radii[i] + radii[j] > gap:
                whole = radii[i] + radii[j]
                radii[i], radii[j] = radii[i] * gap / whole, radii[j] * gap / whole
    return sum(radii)


_OPERATORS: tuple[type[ast.operator], ...] = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_INPUTS = [at / 4 for at in range(-12, 13)]
_WANTED = [x**3 - 2 * x * x + x / 2 + 1 for x in _INPUTS]
_GENES = 12


def _source(genes: Vector) -> str:
    """Write the program that genes stand for: a chain of operations, each on one of the results before it."""
    lines = ["def f(x):", "    v0 = x"]
    for at in range(0, len(genes), 3):
        operator = _OPERATORS[int(genes[at]) % len(_OPERATORS)]
        left, place = f"v{int(genes[at + 1]) % (at // 3 + 1)}", genes[at + 2]
        right = f"{place:.3f}" if place >= 0 else f"v{int(-place) % (at // 3 + 1)}"
        made = ast.BinOp(ast.Name(left), operator(), ast.parse(right, mode="eval").body)
        lines.append(f"    v{at // 3 + 1} = {ast.unparse(made)}")
    return "\n".join([*lines, f"    return v{len(genes) // 3}"])


def _formula(genes: Vector) -> float:
    """Run the program and compare it with a cubic: minus the logarithm of its mean squared error."""
    space: dict[str, Callable[[float], float]] = {}
    exec(compile(_source(genes), "candidate", "exec"), {}, space)
    try:
        errors = [(space["f"](x) - wanted) ** 2 for x, wanted in zip(_INPUTS, _WANTED, strict=True)]
    except (ZeroDivisionError, OverflowError):
        return -20.0
    error = sum(errors) / len(errors)
    return max(-20.0, -math.log(error + 1e-6)) if math.isfinite(error) else -20.0


def _gene(rng: random.Random, at: int) -> float:
    if at % 3 < 2:
        return float(rng.randrange(_GENES))
    return rng.uniform(0, 3) if rng.random() < 0.5 else -float(rng.randrange(1, _GENES))


def _regene(genes: Vector, rng: random.Random, much: bool) -> Vector:
    changed = set(rng.sample(range(len(genes)), 5 if much else rng.choice((1, 1, 2))))
    return tuple(
        (max(0.0, gene + rng.gauss(0, 0.2)) if at % 3 == 2 and gene >= 0 and rng.random() < 0.5 else _gene(rng, at))
        if at in changed
        else gene
        for at, gene in enumerate(genes)
    )


LANDSCAPES = [
    Landscape("smooth", _start(8, -4, 4), _step(0.3, 1.5, -5, 5), _mix, _sphere),
    Landscape("valley", _start(6, -2, 2), _step(0.15, 0.8, -3, 3), _mix, _rosenbrock),
    Landscape("rastrigin", _start(8, -4, 4), _step(0.3, 1.5, -5.12, 5.12), _mix, _rastrigin),
    Landscape("rugged", _start(12, -4, 4), _step(0.3, 1.5, -5, 5), _mix, _rugged),
    Landscape("deceptive", _bits(32), _flip, _mix, _trap),
    Landscape("noisy", _start(8, -4, 4), _step(0.3, 1.5, -5, 5), _mix, _sphere, noise=3.0),
    Landscape("plateau", _start(10, -8, 8), _step(0.5, 2.5, -10, 10), _mix, _plateau),
    Landscape("peaks", _start(4, -4, 4), _step(0.3, 1.5, -5, 5), _mix, _peaks),
    Landscape("circles", _start(20, 0.05, 0.95), _step(0.04, 0.2, 0.0, 1.0), _mix, _circles),
    Landscape("formula", lambda rng: tuple(_gene(rng, at) for at in range(3 * _GENES)), _regene, _mix, _formula),
]
"""Smooth, rugged, deceptive, noisy, flat and with many optima; `circles` and `formula` are programs' work."""
