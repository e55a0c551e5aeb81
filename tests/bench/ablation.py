"""What the parts of the system are worth: circle packing by `recombine`, each part left out, or put in, in turn.

    python -m tests.bench.ablation --seeds 0 1 2 3 4 --rounds 100 --out results.jsonl

Every program may spend 10 solves: the recipes' `SOLVES` are 10 and can no longer be tuned, so that no search can buy a
better score with them. Runs are the engine's own, one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.journal.reader import JournalReader
from engine.runs.create import create_run
from engine.settings.model import merge_settings, parse_setting
from engine.state.fold import fold_run
from engine.task.load import BUILTIN_TASKS, load_task

MARKS = (20, 50, 100)
SOLVES = 10
VARIANTS = {
    "whole": [],
    "no cognition base": ["retrieval.top_k=0", "retrieval.drawn=0"],
    "no analyzer": ["roles.analyzer=off"],
    "bandit frozen": ["designer.bandit=frozen"],
    "random choices": ["designer.bandit=even"],
    "after earlier runs": ["designer.earlier_runs=true"],
}
EARLIER = 2
"""Runs of other seeds that go before one which begins with what came of the priors in them."""
_SOLVES = re.compile(r"^SOLVES = \d+\s*# tune: .*$", re.MULTILINE)


def bounded_task(folder: Path) -> Path:
    """A copy of circle packing in which no program may spend more than 10 solves."""
    task = folder / "circle_packing_bounded"
    shutil.copytree(BUILTIN_TASKS / "circle_packing", task)
    for path in task.glob("priors/*.md"):
        path.write_text(_SOLVES.sub(f"SOLVES = {SOLVES}", path.read_text()))
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace('name = "circle_packing"', 'name = "circle_packing_bounded"'))
    return task


def search(task: Path, runs: Path, settings: list[str], seed: int, rounds: int) -> dict[str, Any]:
    """One run to its end; the best score after each mark."""
    loaded = load_task(task)
    tables = [("variant", parse_setting(text)) for text in settings]
    basis = {"rounds": rounds, "seed": seed, "workers": 2, "designer": {"name": "recombine"}}
    run = create_run(loaded, merge_settings(("task", loaded.spec.run), ("ablation", basis), *tables), runs)
    subprocess.run(
        [sys.executable, "-m", "engine", str(run.folder), "--unattended"], check=True, stdin=subprocess.DEVNULL
    )
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    scores = [(node.round, node.score) for node in state.nodes if node.score is not None]
    best = {mark: max(score for round_, score in scores if round_ <= mark) for mark in MARKS if mark <= rounds}
    return {"seed": seed, "best": best, "nodes": len(state.nodes), "seconds": state.engine_ms / 1000}


def interval(values: list[float], rng: random.Random) -> tuple[float, float]:
    """95 % confidence interval of the mean by the percentile bootstrap (10,000 draws)."""
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(10_000))
    return means[250], means[9_750]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="append every result as a JSON line")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evolve-ablation-"))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    found: dict[str, list[dict[int, float]]] = {name: [] for name in options.variants}
    try:
        task = bounded_task(folder)
        # Seed by seed, so that what was measured until an interruption is balanced.
        for seed in options.seeds:
            for name in options.variants:
                runs = folder / "runs" / f"{name} {seed}"
                if name == "after earlier runs":
                    for earlier in range(1, EARLIER + 1):
                        search(task, runs, [], 1000 * earlier + seed, options.rounds)
                result = search(task, runs, VARIANTS[name], seed, options.rounds)
                found[name].append(result["best"])
                print(json.dumps({"variant": name, **result}), flush=True)
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps({"variant": name, **result}) + "\n")
    finally:
        shutil.rmtree(folder)
    rng = random.Random(0)
    for name, results in found.items():
        for mark in [mark for mark in MARKS if mark <= options.rounds]:
            values = [result[mark] for result in results]
            low, high = interval(values, rng)
            print(f"{name:20} round {mark:3}  mean {statistics.fmean(values):.5f}  95 % {low:.5f} to {high:.5f}")


if __name__ == "__main__":
    main()
