"""What a round costs here and in other systems: the same task, the same model, one worker, each in turn."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The benches are loaded as files, from wherever the command is called.
sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.errors import UsageError
from tests.bench.peers.contest import contest_rows, contestants, play
from tests.bench.peers.measure import Costs, Loss, lose, measure
from tests.bench.peers.sides import Side, sides_of
from tests.bench.peers.table import matrix, rows_of

__all__ = ["main", "matrix"]


def main(
    full: bool,
    against: str | None = None,
    rounds: int | None = None,
    repeats: int | None = None,
    landscape: str | None = None,
) -> list[dict[str, Any]]:
    """Measure ours, and the peers that are named.

    Args:
        full: measure 1,000 rounds twice instead of 100 once.
        against: the peers with their environments, `NAME=PATH`, parted by commas.
        rounds: rounds of each run instead.
        repeats: runs of each system instead.
        landscape: compare their searches on this landscape instead of their costs; each run has another seed.
    """
    rounds = rounds or (1_000 if full else 100)
    repeats = repeats or (2 if full else 1)
    if not sys.platform.startswith("linux"):
        raise UsageError("processes are measured as Linux counts them", "Measure on Linux")
    sides, versions = sides_of(against)
    if landscape is not None:
        _say(f"{', '.join(versions) or 'ours alone'}; {rounds} programs, {repeats} seeds, one worker")
        return _compete(contestants(sides), landscape, rounds, repeats)
    costs: dict[str, list[Costs]] = {side.name: [] for side in sides}
    losses: dict[str, Loss] = {}
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    _say(f"{', '.join(versions) or 'ours alone'}; {rounds} rounds, {repeats} times, one worker")
    try:
        for repeat in range(repeats):
            for side in sides:
                _say(f"{side.name}, run {repeat + 1} of {repeats}; load {os.getloadavg()[0]:.1f} …")
                costs[side.name].append(measure(side, _fresh(folder), rounds))
        for side in sides:
            _say(f"{side.name}, killed in mid-run; load {os.getloadavg()[0]:.1f} …")
            losses[side.name] = lose(side, _fresh(folder), rounds)
    finally:
        shutil.rmtree(folder)
    counted_by = costs[sides[0].name][0].counted_by
    _say(f"CPU of all processes is counted by {counted_by}; load {os.getloadavg()[0]:.1f}")
    if counted_by == "getrusage":
        _say("it misses processes that end with their PID namespace: ours cost more than the table says")
    return rows_of(costs, losses)


def _compete(sides: Sequence[Side], landscape: str, rounds: int, repeats: int) -> list[dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    scores: dict[str, list[list[float | None]]] = {side.name: [] for side in sides}
    try:
        for seed in range(repeats):
            for side in sides:
                _say(f"{side.name}, seed {seed}; load {os.getloadavg()[0]:.1f} …")
                scores[side.name].append(play(side, landscape, seed, _fresh(folder), rounds))
    finally:
        shutil.rmtree(folder)
    return contest_rows(scores, landscape, rounds)


def _fresh(folder: Path) -> Path:
    """Return an empty folder; what an earlier run left is removed, so that its size burdens no later one."""
    work = folder / "run"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir()
    return work


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
