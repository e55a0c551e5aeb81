"""Designs that resemble others, asked again or measured: the same search with and without, paired by seed.

The search is that of the samplers' benchmark; what is refused, by which pairs, is decided by the engine's own code.
A share of the answers changes nothing that counts, as answers of models do: a helper that nobody uses comes or goes.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cognition.embedders import make_embedder
from engine.journal import events as ev
from engine.loop.novelty import Embed, NearWatch, TooNear
from engine.programs.minhash import sketch
from engine.runs.paired import interval
from tests.bench.landscapes import LANDSCAPES, Landscape, Vector, answer, source_of
from tests.engine.searches import Search

OFF = "off"
VARIANTS: dict[str, dict[str, Any]] = {
    OFF: {"near": "off"},
    "lines": {"near": "lines"},
    "lines, asked three times": {"near": "lines", "asks": 3},
    "meaning": {"near": "meaning"},
}
NEUTRAL = 0.15
"""Share of answers that change nothing."""
ATTEMPTS = 4


@dataclass
class Found:
    """What a search came to."""

    best: float
    """Score, without noise, of the node that the search holds to be the best."""
    answers: int = 0
    refused: int = 0
    """Answers that were refused because they are near."""
    same: int = 0
    """Those of them that behave as the node that they resemble, to the last digit."""
    gains: int = 0
    """Those that would have been a new best."""
    repeats: int = 0
    """Measured designs that behave as an earlier node does."""


@dataclass(frozen=True)
class Program:
    """A candidate: what counts, and helpers that nobody uses."""

    point: Vector
    helpers: tuple[str, ...] = ()


def main(full: bool, rounds: int | None = None, repeats: int | None = None) -> list[dict[str, Any]]:
    """Compare every variant with a search that measures all.

    Args:
        full: 20 seeds of 400 rounds instead of 4 of 100.
        rounds: of a search.
        repeats: seeds; the n-th search of every variant begins at the same program.
    """
    rounds, repeats = rounds or (400 if full else 100), repeats or (20 if full else 4)
    embedder, problem = make_embedder("wordllama")
    if embedder is None:
        raise SystemExit(problem)

    async def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return embedder.embed(texts)

    made = []
    try:
        for neutral in (NEUTRAL, 0.0):
            found: dict[tuple[str, str], list[Found]] = {}
            for landscape in LANDSCAPES:
                for name, settings in VARIANTS.items():
                    found[landscape.name, name] = [
                        asyncio.run(search(landscape, settings, seed, rounds, neutral, embed))
                        for seed in range(repeats)
                    ]
                print(f"  {landscape.name}", file=sys.stderr, flush=True)
            made += rows(found, rounds, repeats, neutral)
    finally:
        embedder.close()
    return made


async def search(
    landscape: Landscape, novelty: dict[str, Any], seed: int, rounds: int, neutral: float, embed: Embed | None
) -> Found:
    """Search for so many rounds; a round makes one evaluation, or none if four answers are duplicates."""
    run = Search(settings={"novelty": novelty})
    begin = random.Random(f"{landscape.name} {seed} begin")
    programs = [Program(landscape.start(begin))]
    texts = [_text(landscape, programs[0])]
    session: Any = SimpleNamespace(
        state=run.state, spec=run.state.spec, text=lambda node: texts[int(node)],
        rng=lambda *key: random.Random(f"{seed} {key}"),
    )  # fmt: skip
    watch, found = NearWatch(session, embed), Found(0.0)

    def measure(program: Program, parent: list[int], round_: int, near: list[ev.Near], rng: random.Random) -> None:
        node, score = len(run.state.nodes), landscape.score(program.point) + rng.gauss(0, landscape.noise)
        run.apply(
            ev.DesignDone(str(node), "full", "n", "", parent, digest=str(node), sketch=sketch(texts[node]), near=near),
            node, round_,
        )  # fmt: skip
        run.measure(node, score)
        run.crown(node)

    measure(programs[0], [], 0, [], begin)
    chance, model = random.Random(f"{seed} sampler"), random.Random(f"{landscape.name} {seed} model")
    scores = [landscape.score(programs[0].point)]
    for _ in range(rounds):
        sample = run.begin(chance)
        number = run.state.rounds_started
        round_ = run.state.open_rounds[number]
        for attempt in range(ATTEMPTS):
            found.answers += 1
            made = _answer(landscape, programs, sample.parent, sample.inspirations, model, neutral)
            if made is None:
                node = len(texts)
                programs.append(programs[sample.parent])
                texts.append("")
                scores.append(float("-inf"))
                run.apply(ev.DesignDone("", "full", "n", "", [sample.parent], digest=str(node)), node, number)
                run.measure(node, None)
                break
            text, score = _text(landscape, made), landscape.score(made.point)
            if text in texts:
                run.apply(ev.DesignRejected(attempt, "duplicate", ""), round=number)
                continue
            near = await watch.look(text, [sample.parent])
            try:
                watch.check(round_, near)
            except TooNear as exc:
                found.refused += 1
                found.same += score == scores[exc.near.node]
                found.gains += score > max(scores)
                run.apply(ev.DesignRejected(attempt, "near", ""), round=number)
                continue
            found.repeats += score in scores
            programs.append(made)
            texts.append(text)
            scores.append(score)
            measure(made, [sample.parent], number, near, model)
            break
        run.apply(ev.RoundEnded("node"), round=number)
    assert run.state.best is not None
    found.best = scores[run.state.best]
    return found


def _answer(
    landscape: Landscape,
    programs: Sequence[Program],
    parent: int,
    beside: Sequence[int],
    rng: random.Random,
    neutral: float,
) -> Program | None:
    start = programs[parent]
    if rng.random() < neutral:
        helpers = start.helpers
        if helpers and rng.random() < 0.3:
            return Program(start.point, helpers[1:])
        new = f"helper_{rng.randrange(1000)} = math.{rng.choice(('pi', 'e', 'tau'))} * {rng.randrange(1000)}"
        return Program(start.point, (*helpers[-3:], new))
    point = answer(landscape, start.point, [programs[node].point for node in beside], rng)
    return None if point is None else Program(point, start.helpers)


def _text(landscape: Landscape, program: Program) -> str:
    return "\n".join([source_of(landscape, program.point), *program.helpers])


def rows(found: dict[tuple[str, str], list[Found]], rounds: int, repeats: int, neutral: float) -> list[dict[str, Any]]:
    """Return a row for each variant: its mean gain over measuring all on all landscapes, and on each in the note."""
    made = []
    for name in VARIANTS:
        gains, notes = [], []
        for landscape in LANDSCAPES:
            base, ours = ([each.best for each in found[landscape.name, which]] for which in (OFF, name))
            scale = statistics.stdev(base) or 1.0
            paired = [(a - b) / scale for a, b in zip(ours, base, strict=True)]
            gains.append(paired)
            mean, low, high = interval(paired)
            mark = "" if low <= 0 <= high else "*"
            sums = {key: sum(getattr(each, key) for each in found[landscape.name, name]) for key in _SUMS}
            notes.append(
                f"{landscape.name} {statistics.fmean(ours):.4g} ({mean:+.2f}{mark}), refused {sums['refused']} "
                f"({sums['same']} the same, {sums['gains']} a new best), measured {sums['repeats']} for nothing, "
                f"{sums['answers']} answers"
            )
        mean, low, high = interval([statistics.fmean(each) for each in zip(*gains, strict=True)])
        note = f"95 % {low:+.2f} to {high:+.2f}, {repeats} seeds of {rounds} rounds: " + "; ".join(notes)
        label = f"{name}, {neutral:.0%} of the answers change nothing"
        made.append({"name": label, "value": mean, "unit": "sd", "budget": "", "note": note})
    return made


_SUMS = ("refused", "same", "gains", "repeats", "answers")
