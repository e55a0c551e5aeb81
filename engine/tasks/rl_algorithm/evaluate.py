"""Train small policies with a candidate's advantages and loss, and measure what they have learned.

The candidate runs in another sandbox for the whole evaluation. It receives rewards, masks and log-probabilities and
returns advantages and gradients: it sees no policy, prompt, answer or token, so that it can do nothing but propose an
update. Sampling, rewards, the optimizer and held-out prompts stay in this process.
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
import time
from typing import Any

import evolve_task
import torch
from candidate import Candidate, Hand, probe
from problems import find
from trainer import Run

__all__ = ["evaluate"]

COLLAPSED = 0.05
"""Entropy in nats per token below which a mostly wrong policy no longer explores."""


def evaluate(program_path: str, report: Any) -> dict[str, Any]:
    """Score a program: held-out exact match and area under the learning curve, averaged over problems and seeds."""
    settings = report.settings
    torch.set_num_threads(1)
    with evolve_task.Session("beside.py") as session:
        candidate = Candidate(session)
        probe(Hand(candidate, "probe"))
        candidate.seconds = 0.0  # the first call imports what the program needs
        if settings.get("model"):
            from language_model import evaluate_model

            return evaluate_model(candidate, report)
        return train(candidate, report)


def train(candidate: Candidate, report: Any) -> dict[str, Any]:
    """Train on every problem with every seed, one step each in turn, so that curves are means over all trainings."""
    settings = report.settings
    runs = {
        (name, seed): Run(
            find(name), own_seed(report.data_seed, name, seed), settings, own_seed(report.data_seed, name)
        )
        for name in settings["problems"]
        for seed in range(settings["seeds"])
    }
    hands = {key: Hand(candidate, f"{key[0]}, seed {key[1]}") for key in runs}
    steps, every = settings["steps"], settings["measure_every"]
    curves = {key: [run.measure(settings["held_out"] // 2)] for key, run in runs.items()}
    last: dict[Any, dict[str, float]] = {}
    highest_kl = 0.0
    began = time.perf_counter()
    for step in range(1, steps + 1):
        for key, run in runs.items():
            try:
                last[key] = run.step(hands[key])
            except FloatingPointError as exc:
                raise evolve_task.Invalid(f"{exc} ({key[0]}, seed {key[1]}, step {step})") from None
        highest_kl = max(highest_kl, *(found["kl"] for found in last.values()))
        shown = {name: statistics.fmean(found[name] for found in last.values()) for name in next(iter(last.values()))}
        if step % every == 0:
            for key, run in runs.items():
                curves[key].append(run.measure(settings["held_out"] // 2))
            shown["exact"] = statistics.fmean(curve[-1][0] for curve in curves.values())
            shown["tokens_right"] = statistics.fmean(curve[-1][1] for curve in curves.values())
        report(step, **shown)
    seconds = time.perf_counter() - began
    final = {key: run.measure() for key, run in runs.items()}
    result = summarise(final, curves, settings)
    result |= {name: statistics.fmean(found[name] for found in last.values()) for name in ("entropy", "kl", "outside")}
    result["highest_kl"] = highest_kl
    result["collapsed"] = sum(found["entropy"] < COLLAPSED and final[key][0] < 0.5 for key, found in last.items())
    result["steps_per_s"] = steps * len(runs) / seconds
    result["algorithm_share"] = candidate.seconds / seconds
    return result


def own_seed(data_seed: int, *names: object) -> int:
    """Return the seed of a part of the evaluation, 63 bits: the program learns no number that follows from it alone."""
    text = "/".join(map(str, (data_seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def summarise(
    final: dict[Any, tuple[float, float]], curves: dict[Any, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the score and its parts, with the spread over seeds."""
    areas = {key: area([share for _, share in curve]) for key, curve in curves.items()}
    scores = {key: 0.5 * final[key][0] + 0.5 * areas[key] for key in final}
    seeds = sorted({seed for _, seed in final})
    by_seed = [statistics.fmean(scores[key] for key in scores if key[1] == seed) for seed in seeds]
    result = {
        "score": statistics.fmean(scores.values()),
        "score_sd": statistics.stdev(by_seed) if len(by_seed) > 1 else None,
        "exact": statistics.fmean(found[0] for found in final.values()),
        "tokens_right": statistics.fmean(found[1] for found in final.values()),
        "area": statistics.fmean(areas.values()),
        "diverged": sum(final[key][1] < 0.5 * max(share for _, share in curves[key]) for key in final),
    }
    for name in settings["problems"]:
        result[f"exact_{name}"] = statistics.fmean(final[key][0] for key in final if key[0] == name)
    return result


def area(curve: list[float]) -> float:
    """Return the mean height of a curve with equal steps."""
    return statistics.fmean((a + b) / 2 for a, b in itertools.pairwise(curve))
