"""Does rl_algorithm rank what is known, and does a search's best hold on fresh seeds?

    python -m tests.bench.rank_rl_algorithm rank [--seeds 1 2 3] [--set steps=40 ...]
    python -m tests.bench.rank_rl_algorithm compare PROGRAM [--seeds 101 102 103 104 105] [--set ...]

`rank` measures the seed, two programs that ought to be better and two that ought to be worse. `compare` measures a
program and the seed on the same seeds (initial weights, prompts, samples) and gives the mean difference with its 95 %
confidence interval (Student's t on the paired differences). Everything runs in the sandbox, as a round does. One JSON
object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from cognition.files import PriorFolder
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation.evaluator import Evaluation, Job
from engine.task import find_task, load_task

TASK = load_task(find_task("rl_algorithm"))
SEED = TASK.seeds[0].code
BETTER = {
    "bounded weights that keep the gradient (CISPO)": ["keep-the-gradient-of-clipped-tokens"],
    "all tokens alike, more room upwards (DAPO)": ["mean-over-all-tokens", "higher-clip-for-good-tokens"],
}
WORSE = {
    "no baseline": "\n\ndef normalise(rewards):\n    return rewards\n",
    "advantages of other answers": "\n\ndef reshape(scores, progress):\n    return scores.roll(1, 1)\n",
}
SHOWN = ("score", "exact", "area", "tokens_right", "exact_sort", "exact_reverse", "exact_add", "entropy", "kl")
SHOWN += ("collapsed", "diverged", "steps_per_s", "algorithm_share", "seconds", "cpu_seconds")


def with_recipes(*priors: str) -> str:
    """The seed with the recipes of some priors."""
    found = {prior.id: prior for prior in PriorFolder(TASK.priors).read()}
    components = frozenset(parse_program(SEED).functions)
    code = SEED
    for name in priors:
        donor = parse_program(found[name].recipes[0].code)
        for function in components & set(donor.functions):
            code = graft(parse_program(code), donor, function, components)
    return code


async def measure(code: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """One evaluation, as a round runs it but without a limit of time."""
    folder = Path(tempfile.mkdtemp(prefix="evolve-rank-"))
    limits = msgspec.structs.replace(TASK.spec.limits, seconds=36000.0, cpu_seconds=None)
    try:
        job = Job(
            program=code,
            task_folder=TASK.folder,
            folder=folder / "evaluation",
            metric=TASK.spec.metric,
            guarded=True,
            gpu=False,
            python=None,
            mounts=[],
            stage="explore",
            repeat=0,
            seed=seed,
            settings={**TASK.spec.settings, **settings},
            limits=limits,
            threads=1,
        )
        evaluation = await Evaluation.start(job, lambda step, values: None)
        outcome = await evaluation.outcome()
        await evaluation.acknowledge()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if outcome.status != "ok":
        raise SystemExit(f"{outcome.status}: {outcome.reason}")
    found = {**outcome.metrics, "score": outcome.score}
    return found | {"seconds": outcome.seconds, "cpu_seconds": outcome.cpu_seconds}


def measure_all(name: str, code: str, seeds: list[int], settings: dict[str, Any]) -> list[float]:
    """A program's scores on several seeds, one after the other; what came out is printed."""
    found = [asyncio.run(measure(code, seed, settings)) for seed in seeds]
    scores = [float(one["score"]) for one in found]
    row: dict[str, Any] = {"program": name, "seeds": seeds, "scores": [round(score, 4) for score in scores]}
    for key in SHOWN:
        row[key] = round(statistics.fmean(one[key] for one in found if one.get(key) is not None), 4)
    if len(scores) > 1:
        row["sd"] = round(statistics.stdev(scores), 4)
    print(json.dumps(row), flush=True)
    return scores


def rank(seeds: list[int], settings: dict[str, Any]) -> None:
    """The seed among programs whose place is known."""
    base = measure_all("seed", SEED, seeds, settings)
    programs = {name: with_recipes(*ids) for name, ids in BETTER.items()}
    programs |= {name: SEED + tail for name, tail in WORSE.items()}
    right = {}
    for name, code in programs.items():
        gain = statistics.fmean(measure_all(name, code, seeds, settings)) - statistics.fmean(base)
        right[name] = {"gain": round(gain, 4), "ranked rightly": (gain > 0) == (name in BETTER)}
    print(json.dumps(right))


def compare(program: Path, seeds: list[int], settings: dict[str, Any]) -> None:
    """A program against the seed on the same seeds."""
    from scipy.stats import t

    ours = measure_all(program.name, program.read_text(encoding="utf-8"), seeds, settings)
    base = measure_all("seed", SEED, seeds, settings)
    gains = [a - b for a, b in zip(ours, base, strict=True)]
    half = t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
    mean = statistics.fmean(gains)
    print(json.dumps({"gain": round(mean, 4), "interval": [round(mean - half, 4), round(mean + half, 4)]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["rank", "compare"])
    parser.add_argument("program", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="a setting of the task")
    options = parser.parse_args()
    settings = {key: json.loads(value) for key, _, value in (item.partition("=") for item in options.set)}
    if options.what == "rank":
        rank(options.seeds or [1, 2, 3], settings)
    elif options.program is None:
        parser.error("compare needs a program")
    else:
        compare(options.program, options.seeds or [101, 102, 103, 104, 105], settings)


if __name__ == "__main__":
    main()
