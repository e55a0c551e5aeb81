"""Samplers against each other on ten landscapes: the best score of searches without an engine, paired by seed.

A search is rounds of sample, answer and score; the sampler sees the events that it would see in a run. A difference is
given in standard deviations of the default's best scores on that landscape, so that landscapes can be put together.
"""

from __future__ import annotations

import random
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.runs.paired import interval
from tests.bench.landscapes import LANDSCAPES, Landscape, Vector, answer
from tests.engine.searches import Search

DEFAULT = "default"
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "ucb1, c = 0.03": {"name": "ucb1", "c": 0.03},
    "ucb1, c = 0.1": {"name": "ucb1", "c": 0.1},
    "ucb1, c = 0.3": {"name": "ucb1", "c": 0.3},
    "ucb1_paper": {"name": "ucb1_paper"},
    "greedy": {"name": "greedy"},
    "random": {"name": "random"},
    "power_law": {"name": "power_law"},
    "power_law, alpha = 2": {"name": "power_law", "alpha": 2.0},
    "weighted": {"name": "weighted"},
    "weighted, keep = none": {"name": "weighted", "keep": None},
    "map_elites": {"name": "map_elites"},
    "iid": {"name": "iid"},
    "sequential": {"name": "sequential"},
    "map_elites, 5 islands": {"name": "map_elites", "islands": 5, "exploitation": 0.3, "archive": 100},
}


def main(full: bool, rounds: int | None = None, repeats: int | None = None) -> list[dict[str, Any]]:
    """Compare every variant with the default.

    Args:
        full: 30 seeds of 400 rounds instead of 6 of 100.
        rounds: of a search.
        repeats: seeds; the n-th search of every variant begins at the same program.
    """
    rounds, repeats = rounds or (400 if full else 100), repeats or (30 if full else 6)
    found: dict[tuple[str, str], list[float]] = {}
    for landscape in LANDSCAPES:
        for name, settings in VARIANTS.items():
            found[landscape.name, name] = [search(landscape, settings, seed, rounds) for seed in range(repeats)]
        print(f"  {landscape.name}", file=sys.stderr, flush=True)
    return rows(found, rounds, repeats)


def search(landscape: Landscape, settings: dict[str, Any], seed: int, rounds: int) -> float:
    """Return the score, without noise, of the node that a search of so many rounds holds to be the best."""
    run = Search(**settings)
    begin = random.Random(f"{landscape.name} {seed} begin")
    programs: list[Vector] = [landscape.start(begin)]
    run.add(landscape.score(programs[0]) + begin.gauss(0, landscape.noise), round=0)
    chance, model = random.Random(f"{seed} sampler"), random.Random(f"{landscape.name} {seed} model")
    for _ in range(rounds):
        sample = run.begin(chance)
        made = answer(landscape, programs[sample.parent], [programs[node] for node in sample.inspirations], model)
        programs.append(programs[sample.parent] if made is None else made)
        score = None if made is None else landscape.score(made) + model.gauss(0, landscape.noise)
        run.end(sample, score, "\n".join(f"{value:.3g}" for value in programs[-1]))
    scored = [(node.score, node.id) for node in run.state.nodes if node.score is not None]
    return landscape.score(programs[max(scored)[1]])


def rows(found: dict[tuple[str, str], list[float]], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each variant: its mean gain over the default on all landscapes, and on each in the note."""
    made = []
    for name in VARIANTS:
        gains, notes = [], []
        for landscape in LANDSCAPES:
            base, ours = found[landscape.name, DEFAULT], found[landscape.name, name]
            scale = statistics.stdev(base) or 1.0
            paired = [(a - b) / scale for a, b in zip(ours, base, strict=True)]
            gains.append(paired)
            mean, low, high = interval(paired)
            mark = "" if low <= 0 <= high else "*"
            best = f"{statistics.fmean(ours):.4g}"
            notes.append(
                f"{landscape.name} {best}" if name == DEFAULT else f"{landscape.name} {best} ({mean:+.2f}{mark})"
            )
        mean, low, high = interval([statistics.fmean(each) for each in zip(*gains, strict=True)])
        note = f"95 % {low:+.2f} to {high:+.2f}, {repeats} seeds of {rounds} rounds; mean best: " + ", ".join(notes)
        made.append({"name": name, "value": mean, "unit": "sd", "budget": "", "note": note})
    return made
