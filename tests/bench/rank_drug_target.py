"""Does drug_target rank what is known, and does a search's best hold on fresh seeds and on real data?

    python -m tests.bench.rank_drug_target rank [--seeds 1 2 3]
    python -m tests.bench.rank_drug_target compare PROGRAM [--seeds 101 102 103 104 105]
    python -m tests.bench.rank_drug_target real FOLDER [--program PROGRAM] [--set steps=2000 ...]

`rank` measures the seed, two programs that ought to be better and two that ought to be worse. `compare` measures a
program and the seed on the same seeds (synthetic sets, splits, initial weights) and gives the mean difference with its
95 % confidence interval (Student's t on the paired differences); with `--data` on the user's pairs. `real` trains on
the given split of a folder of DrugBAN's form. Everything runs in the sandbox, as a round does. One JSON object a line.
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

TASK = load_task(find_task("drug_target"))
SEED = TASK.seeds[0].code
BETTER = {
    "bond types": ["bond-types"],
    "bond types, gated convolutions, top-k pairs, AdamW, cosine": [
        "bond-types",
        "gated-sequence-convolution",
        "top-k-pairs",
        "decoupled-decay",
        "warm-up-and-cosine",
    ],
}
WORSE = {
    "blind to the protein": "\n\ndef protein_layer(width, kernel):\n    return Blind()\n\n\n"
    "class Blind(nn.Module):\n    def forward(self, x, mask):\n        return 0 * x + mask[..., None]\n",
    "DrugBAN's learning rate of 5e-5, for 100 epochs, in few steps": "\n\nRATE = 0.00005\n",
}
SHOWN = ("score", "auroc", "auprc", "f1", "mcc", "parameters")


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
    """One evaluation, as a round runs it but without a limit of CPU time."""
    folder = Path(tempfile.mkdtemp(prefix="evolve-rank-"))
    limits = msgspec.structs.replace(
        TASK.spec.limits_of(TASK.spec.stages[0]), seconds=36000.0, cpu_seconds=None, memory_mb=8192
    )
    try:
        job = Job(
            program=code,
            task_folder=TASK.folder,
            folder=folder / "evaluation",
            metric=TASK.spec.metric,
            guarded=True,
            gpu=False,
            python=None,
            mounts=[str(settings["data"])] if settings.get("data") else [],
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
    return {
        **outcome.metrics,
        "score": outcome.score,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "guarantee": outcome.guarantee,
    }


def measure_all(name: str, code: str, seeds: list[int], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """A program on several seeds, one after the other; what came out is printed."""
    found = [asyncio.run(measure(code, seed, settings)) for seed in seeds]
    row: dict[str, Any] = {"program": name, "seeds": seeds, "scores": [round(one["score"], 4) for one in found]}
    keys = [*SHOWN, *sorted(key for key in found[0] if key.startswith(("auroc_", "auprc_"))), "seconds", "cpu_seconds"]
    for key in keys:
        values = [one[key] for one in found if one.get(key) is not None]
        if values:
            row[key] = round(statistics.fmean(values), 4)
    if len(found) > 1:
        row["sd"] = round(statistics.stdev(one["score"] for one in found), 4)
    print(json.dumps(row), flush=True)
    return found


def rank(seeds: list[int], settings: dict[str, Any]) -> None:
    """The seed among programs whose place is known."""
    measured = {"seed": measure_all("seed", SEED, seeds, settings)}
    measured |= {name: measure_all(name, with_recipes(*ids), seeds, settings) for name, ids in BETTER.items()}
    measured |= {name: measure_all(name, SEED + tail, seeds, settings) for name, tail in WORSE.items()}
    base = [one["score"] for one in measured["seed"]]
    right = {
        name: [(one["score"] > score) == (name in BETTER) for one, score in zip(found, base, strict=True)]
        for name, found in measured.items()
        if name != "seed"
    }
    print(json.dumps({"ranked rightly, seed by seed": right, "all": all(all(row) for row in right.values())}))


def compare(program: Path, seeds: list[int], settings: dict[str, Any]) -> None:
    """A program against the seed on the same seeds."""
    from scipy.stats import t

    ours = measure_all(program.name, program.read_text(encoding="utf-8"), seeds, settings)
    base = measure_all("seed", SEED, seeds, settings)
    rows = {}
    for key in ("score", *(key for key in base[0] if key.startswith(("auroc", "auprc")) and "_scaffold" not in key)):
        gains = [a[key] - b[key] for a, b in zip(ours, base, strict=True) if None not in (a.get(key), b.get(key))]
        if len(gains) > 1:
            half = t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
            mean = statistics.fmean(gains)
            rows[key] = [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]
    print(json.dumps({"gain, and its 95 % interval": rows}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["rank", "compare", "real"])
    parser.add_argument("path", type=Path, nargs="?", help="compare: the program; real: the folder of data")
    parser.add_argument("--program", type=Path, help="real: in place of the seed")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--data", help="compare: pairs of the user's")
    parser.add_argument("--set", action="append", default=[], help="a setting of the task, such as steps=2000")
    options = parser.parse_args()
    if options.what != "rank" and options.path is None:
        parser.error(f"{options.what} needs a path")
    settings = {key: msgspec.json.decode(value) for key, _, value in (item.partition("=") for item in options.set)}
    if options.data:
        settings["data"] = str(Path(options.data).resolve())
    if options.what == "rank":
        rank(options.seeds or [1, 2, 3], settings)
    elif options.what == "compare":
        compare(options.path, options.seeds or [101, 102, 103, 104, 105], settings)
    else:
        code = options.program.read_text(encoding="utf-8") if options.program else SEED
        settings["data"] = str(options.path.resolve())
        measure_all(options.program.name if options.program else "seed", code, options.seeds or [1], settings)


if __name__ == "__main__":
    main()
