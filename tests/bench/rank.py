"""What the rankings of tasks share: does a task rank what is known, and does a search's best hold on fresh seeds?

`python -m tests.bench.rank_NAME` runs one of

    rank [--seeds 1 2 3]                            the seed among programs whose place is known
    compare PROGRAM [--seeds 101 102 103 104 105]   a program against the seed, both on the same seeds
    measure [PROGRAM] [--seeds 1]                   a program alone, the seed where none is given

with `--set KEY=JSON` for settings of the task and `--data PATH` for the user's data. A seed of an evaluation is a draw
of data, initial weights and batches. Differences are paired by seed, and given with their 95 % confidence interval by
Student's t. Everything runs in the sandbox, as a round does, but without a limit of time. One JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import math
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cognition.files import PriorFolder
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation.evaluator import Evaluation, Job
from engine.task.load import find_task, load_task
from engine.task.spec import Task

FRESH = [101, 102, 103, 104, 105]
LEAST_MEMORY_MB = 8192


def with_recipes(task: Task, *priors: str) -> str:
    """The task's seed with the recipes of some of its priors, by id and in that order."""
    found = {prior.id: prior for prior in PriorFolder(task.priors).read()}
    code = task.seeds[0].code
    components = frozenset(parse_program(code).functions)
    for name in priors:
        for recipe in found[name].recipes:
            donor = parse_program(recipe.code)
            for function in sorted(components & set(donor.functions)):
                code = graft(parse_program(code), donor, function, components)
    return code


async def measure(task: Task, code: str, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One evaluation in the stage that ranks: metrics, score, guarantee and what it cost.

    Raises:
        SystemExit: the program has no score; the message says why.
    """
    folder = Path(tempfile.mkdtemp(prefix="evolve-rank-"))
    stage = task.spec.score_stage
    limits = task.spec.limits_of(stage)
    job = Job(
        program=code,
        task_folder=task.folder,
        folder=folder / "evaluation",
        metric=task.spec.metric,
        guarded=task.spec.guarded,
        gpu=task.spec.gpu,
        python=None,
        mounts=[str(settings["data"])] if settings.get("data") else [],
        stage=stage.name,
        repeat=0,
        seed=seed,
        settings={**task.spec.settings, **stage.settings, **settings},
        limits=msgspec.structs.replace(
            limits, seconds=36000.0, cpu_seconds=None, memory_mb=max(limits.memory_mb, LEAST_MEMORY_MB)
        ),
        threads=1,
    )
    try:
        evaluation = await Evaluation.start(job, lambda step, values: None)
        outcome = await evaluation.outcome()
        await evaluation.acknowledge()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if outcome.status != "ok" or outcome.score is None:
        raise SystemExit(f"{outcome.status}: {outcome.reason}")
    cost = {"seconds": outcome.seconds, "cpu_seconds": outcome.cpu_seconds, "guarantee": outcome.guarantee}
    return {**outcome.metrics, **cost, "score": outcome.score}


def measure_all(
    task: Task, name: str, code: str, seeds: Sequence[int], settings: Mapping[str, Any], shown: Sequence[str]
) -> list[dict[str, Any]]:
    """A program on several seeds, one after the other; what came out is printed as one row.

    Args:
        task: whose evaluator measures.
        name: of the program, for the row.
        code: the program.
        seeds: one evaluation each.
        settings: on top of the task's own.
        shown: metrics whose means are printed, as patterns such as `auroc_*`.
    """
    found = [asyncio.run(measure(task, code, seed, settings)) for seed in seeds]
    scores = [float(one["score"]) for one in found]
    row: dict[str, Any] = {"program": name, "seeds": list(seeds), "scores": [round(score, 4) for score in scores]}
    row["score"] = round(statistics.fmean(scores), 4)
    if len(scores) > 1:
        row["sd"] = round(statistics.stdev(scores), 4)
    for key in numbers(found, [*shown, "seconds", "cpu_seconds"]):
        row[key] = round(statistics.fmean(one[key] for one in found), 4)
    row["guarantee"] = ", ".join(sorted({one["guarantee"] for one in found}))
    print(json.dumps(row), flush=True)
    return found


def numbers(found: Sequence[Mapping[str, Any]], patterns: Sequence[str]) -> list[str]:
    """Which metrics every evaluation has as numbers, in the order of the patterns that name them."""
    keys = [key for pattern in patterns for key in sorted(found[0]) if fnmatch.fnmatchcase(key, pattern)]
    return [key for key in dict.fromkeys(keys) if all(isinstance(one.get(key), int | float) for one in found)]


def gain(ours: Sequence[float], base: Sequence[float]) -> list[float]:
    """Mean of the paired differences, and both ends of its 95 % interval where there are two pairs or more."""
    from scipy.stats import t

    gains = [a - b for a, b in zip(ours, base, strict=True)]
    mean = statistics.fmean(gains)
    if len(gains) < 2:
        return [round(mean, 4)]
    half = float(t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / math.sqrt(len(gains))
    return [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]


def rank(
    task: Task,
    better: Mapping[str, str],
    worse: Mapping[str, str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    shown: Sequence[str],
) -> None:
    """The seed among programs whose place is known: better and worse ones, by name."""
    base = [one["score"] for one in measure_all(task, "seed", task.seeds[0].code, seeds, settings, shown)]
    sign = 1 if task.spec.direction == "maximize" else -1
    summary: dict[str, Any] = {}
    for name, code in {**better, **worse}.items():
        scores = [one["score"] for one in measure_all(task, name, code, seeds, settings, shown)]
        right = [(sign * (ours - theirs) > 0) == (name in better) for ours, theirs in zip(scores, base, strict=True)]
        summary[name] = {"gain": gain(scores, base), "ranked rightly": right}
    print(json.dumps(summary), flush=True)


def compare(task: Task, program: Path, seeds: Sequence[int], settings: Mapping[str, Any], shown: Sequence[str]) -> None:
    """A program against the task's seed: the gain in the score and in each metric that is shown."""
    ours = measure_all(task, program.name, program.read_text(encoding="utf-8"), seeds, settings, shown)
    base = measure_all(task, "seed", task.seeds[0].code, seeds, settings, shown)
    rows = {
        key: gain([a[key] for a in ours], [b[key] for b in base]) for key in numbers(ours + base, ["score", *shown])
    }
    print(json.dumps({"gain, and its 95 % interval": rows}), flush=True)


def main(name: str, better: Mapping[str, str], worse: Mapping[str, str], shown: Sequence[str]) -> None:
    """The command line of one task's ranking.

    Args:
        name: of the task.
        better: programs that ought to be better than its seed, by what they are called.
        worse: programs that ought to be worse.
        shown: metrics that are printed beside the score, as patterns such as `auroc_*`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.bench.rank_{name}", description=f"Measure {name}.")
    parser.add_argument("what", choices=["rank", "compare", "measure"])
    parser.add_argument("program", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="a setting of the task")
    parser.add_argument("--data", type=Path, help="a file or folder of the user's")
    options = parser.parse_args()
    task = load_task(find_task(name))
    settings = {key: json.loads(value) for key, _, value in (item.partition("=") for item in options.set)}
    if options.data:
        settings["data"] = str(options.data.resolve())
    if options.what == "rank":
        rank(task, better, worse, options.seeds or [1, 2, 3], settings, shown)
    elif options.what == "measure":
        code = options.program.read_text(encoding="utf-8") if options.program else task.seeds[0].code
        title = options.program.name if options.program else "seed"
        measure_all(task, title, code, options.seeds or [1], settings, shown)
    elif options.program is None:
        parser.error("compare needs a program")
    else:
        compare(task, options.program, options.seeds or FRESH, settings, shown)
