"""Check and time a Triton kernel: on a GPU in turns with the seed, or in Triton's interpreter for correctness alone.

The device's events are read in the candidate's process, which may change what they say. So they count only if this
process's clock around the launch agrees with them.
"""

from __future__ import annotations

import statistics
from typing import Any

import evolve_task
import numpy as np
from problems import Case, Problem

__all__ = ["evaluate_triton"]

INTERPRETED = [Case((1, 7, 2, 5, 3)), Case((1, 12, 1, 16, 8), "steps"), Case((2, 3, 1, 3, 5), "tiny")]
"""What the interpreter is asked: it takes milliseconds for each operation."""
LAUNCH_SECONDS = 5e-4
"""What a launch and the messages about it may take beside the kernel."""


def evaluate_triton(problem: Problem, rng: np.random.Generator, check: Any, report: Any) -> dict[str, Any]:
    """Score a Triton kernel by how many times as fast as the seed it is; without a GPU by 1 if it is right.

    Args:
        problem: the problem.
        rng: draws all that the kernel cannot foresee.
        check: raises Invalid for outputs of one case that are wrong.
        report: of this evaluation.

    Raises:
        Invalid: an output is wrong, or its events and the clock outside disagree.
    """
    on_device = bool(report.device)
    checks, timed = cases_for(problem, rng, on_device)
    with evolve_task.Session("triton_side.py", memory=size_of(problem, [*checks, timed])) as candidate:
        candidate.load()
        for case in checks:
            arrays = problem.draw(rng, case)
            out, _, _ = run_once(candidate, arrays, problem.define(arrays).shape)
            check([Call(case, arrays, out)], problem)
        if not on_device:
            return {"score": 1.0}
        return race(problem, timed, candidate, rng, check, report)


class Call:
    """The inputs of a call, and what came of it."""

    def __init__(self, case: Case, arrays: dict[str, np.ndarray], out: np.ndarray) -> None:
        self.case, self.arrays, self.out = case, arrays, out


def size_of(problem: Problem, cases: list[Case]) -> int:
    """Return how many bytes hold the arrays of any case."""
    found = [problem.draw(np.random.default_rng(0), case) for case in cases]
    return max(sum(x.nbytes + 256 for x in arrays.values()) + arrays["v"].nbytes + 256 for arrays in found)


def race(
    problem: Problem, case: Case, candidate: Any, rng: np.random.Generator, check: Any, report: Any
) -> dict[str, Any]:
    """Time seed and candidate in turns on the device; return score and metrics."""
    ratios, seconds, calls = [], [], []
    operations = problem.operations(case.sizes)
    tokens = case.sizes[0] * case.sizes[1]
    moved = float(size_of(problem, [case]))
    with evolve_task.Baseline("triton_side.py", "seed.py", memory=size_of(problem, [case])) as seed:
        for turn in range(int(report.settings["warm"]) + 1):
            arrays = problem.draw(rng, case)
            shape = arrays["v"].shape
            _, theirs, _ = run_once(seed, arrays, shape)
            out, ours, wall = run_once(candidate, arrays, shape)
            calls.append(Call(case, arrays, out))
            if not turn:
                continue  # kernels are compiled
            check_event(ours, wall)
            ratios.append(theirs / ours)
            seconds.append(ours)
            report(turn, speedup=ratios[-1], tokens_per_s=tokens / ours, gflops_per_s=operations / ours / 1e9)
        clock = seed.call("clock")
    check(calls, problem)
    return {**summarise(ratios, seconds, operations, moved, tokens), "clock_mhz": clock}


def cases_for(problem: Problem, rng: np.random.Generator, on_device: bool) -> tuple[list[Case], Case]:
    """Return the cases to check, and the one to time."""
    if not on_device:
        return INTERPRETED, INTERPRETED[0]
    return problem.checks(rng), Case((8, int(rng.integers(1000, 1100)) * 2 + 1, 8, 64, 64))


def run_once(side: Any, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, float, float]:
    """Run a kernel on fresh arrays; return its output, the seconds by the device's events and those by this clock."""
    parts = [*arrays.values(), np.full(shape, np.nan, np.float32)]
    places = [0]
    for part in parts:
        side.memory[places[-1] : places[-1] + part.nbytes] = part.tobytes()
        places.append(places[-1] + -(-part.nbytes // 256) * 256)
    side.time_call("upload", places[:-1], [list(part.shape) for part in parts])
    timed = side.time_call("launch", seconds=120)
    if not isinstance(timed.value, float):
        raise evolve_task.Invalid("the kernel's time is no number")
    out = side.time_call("download", places[-2], list(shape), keep=slice(places[-2], places[-2] + parts[-1].nbytes))
    return np.frombuffer(out.kept, np.float32).reshape(shape), timed.value / 1e3, timed.wall


def check_event(event: float, wall: float) -> None:
    """Refuse a kernel whose events tell no time, or much less or more than the evaluator's clock.

    Raises:
        Invalid: they do.
    """
    if not max(0.7 * (wall - LAUNCH_SECONDS), 1e-9) <= event <= wall:  # below 1 ns is no time at all
        raise evolve_task.Invalid(
            f"the device's events say {event * 1e3:.3g} ms, the clock outside {wall * 1e3:.3g} ms"
        )


def summarise(
    ratios: list[float], seconds: list[float], operations: float, moved: float, tokens: int
) -> dict[str, Any]:
    """Return score and metrics."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    taken = statistics.median(seconds)
    return {
        "score": middle,
        "spread": (high - low) / middle,
        "tokens_per_s": tokens / taken,
        "gflops_per_s": operations / taken / 1e9,
        "gbytes_per_s": moved / taken / 1e9,
        "milliseconds": taken * 1e3,
    }
