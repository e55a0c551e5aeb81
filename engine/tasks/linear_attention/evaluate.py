"""Check a candidate's layer against its contract, train small models with it, and score them on held-out sequences.

The candidate runs in other sandboxes. One probes the layer; one trains it on batches sent to it step by step, and never
sees a held-out sequence. A new one then gets the layers' weights and each layer's inputs: embedding, feed-forward
parts, output and scoring run in this process, so that no candidate can reach a held-out token. Another new one gets
the same sequences with their future replaced, which reveals a layer that looks ahead.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evolve_task
from contract import Budget, check_layer

if TYPE_CHECKING:
    from outside import Trained
    from problems import Problem

__all__ = ["evaluate"]

EVERY = 10
"""Steps per message and per report."""
LOOKS = (0.4, 0.6, 0.8)
"""Shares of the steps after which recall is measured, as well as at the end: learning sooner scores better."""


def evaluate(program_path: str, report: Any) -> dict[str, Any]:
    """Score a layer: half for recall, half for the share of a text's uncertainty that its model removes."""
    settings = report.settings
    if report.stage == "quick":
        with session(report) as opened:
            width, heads, context = opened.call("shape", str(settings["size"]))
            limits, lengths = budget(width, heads, settings), (context, int(settings["recall_length"]))
            found = check_layer(
                opened, width, heads, limits, report.data_seed, lengths, report.sandbox_seed, clock_of(opened, report)
            )
            return {"score": 0.0, **found}

    # Imported here because the stage `quick` does not need torch in this process.
    from outside import check_future, summarise
    from problems import make_problems

    problems = make_problems(settings, report.data_seed, report.sandbox_seed, Path(__file__).parent)
    with session(report) as opened:
        models, speed = train(opened, problems, report)
        # This sandbox does not know where the sequences will be cut, and the one below not that they were cut.
        cut, pieces = [], []
        for model in models:
            cut.append(model.features(opened, model.cut_rows()))
            pieces.append(model.first_pieces(opened))
    work: dict[str, float] = {}
    whole, moved = [], 0.0
    with session(report) as opened:
        for model, other, parts in zip(models, cut, pieces, strict=True):
            limits = budget(model.problem.size.width, model.problem.size.heads, settings)
            whole.append(model.features(opened, model.problem.inputs))
            moved = max(moved, check_future(model, whole[-1], other))
            # In the process whose outputs are scored, and which does not know which passes these are.
            model.check_pieces(opened, parts, limits)
            work = {name: max(value, work.get(name, 0)) for name, value in model.audit(opened, limits).items()}
        models[-1].audit_time(opened, clock_of(opened, report))
    return summarise(models, whole) | speed | work | {"leakage": moved}


@contextmanager
def session(report: Any) -> Iterator[Any]:
    """Open a new sandbox with the candidate's layer."""
    with evolve_task.Session("beside.py") as opened:
        opened.call("prepare", int(report.settings["threads"]), bool(report.device))
        yield opened


def clock_of(opened: Any, report: Any) -> Callable[[], float]:
    """Return what tells how long a sandbox has worked: its CPU time, or with a GPU the time of day."""
    return time.perf_counter if report.device else lambda: float(opened.cpu_seconds)


def budget(width: int, heads: int, settings: dict[str, Any]) -> Budget:
    """Return the most that a layer may hold."""
    return Budget(
        weights=int(settings["most_weights"] * width**2 + 64 * width),
        state=int(settings["most_state"] * width**2 / heads + 32 * width),
    )


def train(opened: Any, problems: list[Problem], report: Any) -> tuple[list[Trained], dict[str, float]]:
    """Train all models, a few steps of each in turn, so that curves are means; return them and metrics of speed."""
    from outside import Trained

    settings = report.settings
    steps = int(settings["steps"])
    shared: dict[str, Any] = {name: float(settings[name]) for name in ("warm_up", "cool_down", "weight_decay")}
    shared |= {"steps": steps, "rows": int(settings["rows"])}
    size = problems[0].size
    weights = opened.call("build", size.width, size.heads, report.sandbox_seed)
    numbers = [
        opened.call("begin", {"size": asdict(p.size), "seed": p.sandbox_seed, "rate": p.rate, **shared})
        for p in problems
    ]
    states: list[tuple[int, Any]] = []
    due = [round(steps * share) for share in (*LOOKS, 1.0)]
    trained = seconds = 0.0
    for first in range(0, steps, EVERY):
        count = min(EVERY, steps - first)
        losses: dict[str, list[float]] = {}
        tokens_now = 0
        began = time.perf_counter()
        for number, problem in zip(numbers, problems, strict=True):
            found = opened.call("train", number, *problem.batches(first, count))
            losses.setdefault("loss" if problem.corpus else "recall_loss", []).append(statistics.fmean(found))
            tokens_now += count * problem.batch * problem.size.context
        took = time.perf_counter() - began
        trained, seconds = trained + tokens_now, seconds + took
        shown = {name: statistics.fmean(values) for name, values in losses.items()}
        report(first + count, **shown, tokens_per_s=tokens_now / took)
        while due and due[0] <= first + count:
            looked = due.pop(0)
            states += [
                (index, opened.call("weights", number))
                for index, number in enumerate(numbers)
                if looked == steps or problems[index].corpus is None
            ]
    models = []
    for index, state in states:
        own = problems[index]
        models.append(Trained(own, state, budget(own.size.width, own.size.heads, settings).weights, report))
    return models, {"tokens_per_s": trained / seconds, "layer_weights": weights}
