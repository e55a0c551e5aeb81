"""Check a kernel against its definition on shapes that it cannot foresee, and time it in turns with the seed.

The kernel runs in another sandbox, pinned to one processor, and shares the arrays' memory with this process, which
holds the clock. Every call gets inputs of its own, written just before, into memory whose outputs are marked as not
computed; what every call has written is copied once its answer is here, and checked after the timing.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

import evolve_task
import numpy as np
from problems import PROBLEMS, Case, Problem

__all__ = ["evaluate"]

FLAGS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
"""Those of task.toml: seed and candidate are built alike."""
HERE = Path(__file__).parent
TOLERANCE = 2e-5
"""The largest relative root mean square error of 32 rows; single precision reaches about 1e-6."""
ROWS = 32
SHARES = {"cpu": 1, "tiny": 8}
"""What the rows of timed calls are divided by, by the setting `size`."""
PAST_ROOFLINE = 1.2
"""A kernel may be so much faster than the measured peak, which a busy machine may have kept low."""
COPIED = 1 << 25
"""Bytes of a copy through the main memory."""


def evaluate(program_path: str, report: Any) -> dict[str, Any]:
    """Score a kernel by how many times as fast as the seed it is."""
    problem = PROBLEMS[str(report.settings["problem"])]
    rng = np.random.default_rng(report.data_seed)
    if report.settings["size"] in ("gpu", "interpreter"):
        from on_gpu import evaluate_triton

        return evaluate_triton(problem, rng, check, report)
    checks, timed = problem.checks(rng), problem.timed(rng, SHARES[str(report.settings["size"])])
    size = max(Buffer.bytes_of(problem, case) for case in (*checks, timed))
    seed = "seed.c" if report.settings["problem"] == "delta_rule" else f"problems/{report.settings['problem']}.c"
    if not (HERE / seed).exists():
        raise FileNotFoundError(f"{seed}: the setting `problem` names a problem without a seed")
    own, machine = built(seed, "kernel.so", report), built("roofline.c", "roofline.so", report)
    lent: dict[str, Any] = {"memory": size}
    with (
        evolve_task.Baseline("peaks.py", "roofline.c", machine, memory=2 * COPIED) as peaks,
        evolve_task.Baseline("run.py", seed, own, **lent) as baseline,
        evolve_task.Session("run.py", **lent) as candidate,
    ):
        roofline = measure(peaks)
        candidate.load(seconds=60)
        baseline.call("run", [0] * (1 + len(problem.draw(rng, Case(checks[-1].sizes)))), no_sizes(timed))
        for case in checks:
            buffer = Buffer(problem, case, candidate, rng)
            buffer.fill(rng)
            check([buffer.call()], problem)
        return race(problem, timed, baseline, candidate, peaks, roofline, Path(machine) / "roofline.so", rng, report)


def no_sizes(case: Case) -> list[int]:
    return [0] * len(case.sizes)


def built(source: str, name: str, report: Any) -> str:
    """Build a source of the task; return the folder that holds the library."""
    folder = Path(report.scratch, name.partition(".")[0])
    folder.mkdir()
    subprocess.run(["gcc", *FLAGS, "-o", str(folder / name), str(HERE / source), "-lm"], check=True)
    return str(folder)


def taken(timed: Any) -> float:
    """Return the seconds that a call is judged by."""
    return float(timed.cpu if timed.cores == 1 else timed.seconds)


class Call:
    """The inputs of a call, and what came of it."""

    def __init__(self, case: Case, arrays: dict[str, np.ndarray], timed: Any, out: np.ndarray) -> None:
        self.case, self.arrays, self.timed, self.out = case, arrays, timed, out
        self.seconds: float = taken(timed)


class Buffer:
    """Arrays in the memory that is shared with a kernel, each at an odd multiple of its numbers' size.

    Args:
        problem: the problem.
        case: its sizes.
        side: the session or baseline.
        rng: draws the places.
    """

    def __init__(self, problem: Problem, case: Case, side: Any, rng: np.random.Generator) -> None:
        self.problem, self.case, self.side = problem, case, side
        self.arrays = problem.draw(np.random.default_rng(0), case)
        self.shape = problem.define(self.arrays).shape
        self.places, at = [], 0
        for item, length in (*((x.itemsize, x.nbytes) for x in self.arrays.values()), self.of_output()):
            at += 128 + item * int(rng.integers(0, 16))
            self.places.append(at)
            at += -(-length // 64) * 64
        # A guard of marks lies before and behind the output.
        self.whole = slice(self.places[-1] - 64, self.places[-1] + self.of_output()[1] + 64)

    def of_output(self) -> tuple[int, int]:
        item = np.dtype(self.problem.output).itemsize
        return item, item * int(np.prod(self.shape))

    @staticmethod
    def bytes_of(problem: Problem, case: Case) -> int:
        """Return how many bytes hold the arrays at any place."""
        arrays = problem.draw(np.random.default_rng(0), case)
        size = sum(x.nbytes for x in arrays.values()) + 4 * int(np.prod(problem.define(arrays).shape))
        return size + 4096

    def fill(self, rng: np.random.Generator) -> None:
        """Draw contents, and mark the output as not computed."""
        self.write(self.problem.draw(rng, self.case))

    def write(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        for place, array in zip(self.places, arrays.values(), strict=False):
            self.side.memory[place : place + array.nbytes] = array.tobytes()
        self.side.memory[self.whole] = b"\xff" * (self.whole.stop - self.whole.start)

    def call(self) -> Call:
        """Run the kernel on them.

        Raises:
            Invalid: it wrote beside its output.
        """
        seconds = 60
        timed = self.side.time_call("run", self.places, list(self.case.sizes), seconds=seconds, keep=self.whole)
        kept = np.frombuffer(timed.kept, np.uint8)
        if not (kept[:64] == 255).all() or not (kept[-64:] == 255).all():
            raise evolve_task.Invalid(f"the kernel writes beside its output (sizes {self.case.sizes})")
        out = np.frombuffer(kept[64:-64].tobytes(), self.problem.output).reshape(self.shape)
        timed.kept = b""
        return Call(self.case, self.arrays, timed, out)


def check(calls: list[Call], problem: Problem) -> None:
    """Compare outputs of calls of one case with the definition.

    Raises:
        Invalid: they differ by more than single precision explains.
    """
    case = calls[0].case
    kind = "" if case.kind == "plain" else f", {case.kind}"
    if problem.output is np.int32 or "q" not in calls[0].arrays:
        wanted = np.stack([problem.define(call.arrays) for call in calls])
    else:
        # The recurrences of all calls at once: a loop over tokens costs the same for one and for many.
        joined = {name: np.concatenate([call.arrays[name] for call in calls]) for name in calls[0].arrays}
        wanted = problem.define(joined).reshape(len(calls), *calls[0].out.shape)
    found = np.stack([call.out for call in calls]).astype(np.float64)
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        where = f"call {number + 1} of {len(calls)} with sizes {case.sizes}{kind}"
        if not np.isfinite(one).all():
            raise evolve_task.Invalid(f"the kernel left {int((~np.isfinite(one)).sum())} numbers uncomputed in {where}")
        if problem.output is np.int32:
            if not (one == other).all():
                raise evolve_task.Invalid(f"{int((one != other).sum())} numbers are wrong in {where}")
            continue
        error = worst(one.reshape(-1, one.shape[-1]), other.reshape(-1, other.shape[-1]))
        if error > TOLERANCE:
            raise evolve_task.Invalid(f"the output is off by {error:.2g} in {where}; {TOLERANCE:g} is allowed")


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest relative root mean square error of any rows."""
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-300)
    found, wanted = found / scale, wanted / scale
    starts = np.arange(0, len(wanted), ROWS)
    wrong = np.add.reduceat(np.square(found - wanted).sum(-1), starts)
    size = np.add.reduceat(np.square(wanted).sum(-1), starts)
    # Rows that are nearly zero beside the others are compared with those.
    return float(np.sqrt(wrong / (size + 1e-6 * size.mean() + 1e-30)).max())


def measure(peaks: Any) -> dict[str, float]:
    """Measure the machine's peaks: operations and copied bytes a second, the best of several short measurements."""
    rounds, small, times = 200000, 1 << 18, 40
    peaks.call("copy", COPIED // 2, 1)
    product = min(taken(peaks.time_call("multiply_add", rounds)) for _ in range(12))
    far = min(taken(peaks.time_call("copy", COPIED, 1)) for _ in range(4))
    near = min(taken(peaks.time_call("copy", small, times)) for _ in range(8))
    return {
        "peak_gflops": 12 * 32 * rounds / product / 1e9,
        "peak_gbytes": 2 * COPIED / far / 1e9,
        "peak_cache_gbytes": 2 * small * times / near / 1e9,
    }


def race(
    problem: Problem,
    case: Case,
    baseline: Any,
    candidate: Any,
    peaks: Any,
    roofline: dict[str, float],
    library: Path,
    rng: np.random.Generator,
    report: Any,
) -> dict[str, Any]:
    """Time seed and candidate in turns; return score and metrics.

    Raises:
        Invalid: an output is wrong, or the kernel is faster than possible.
    """
    flush = ctypes.CDLL(str(library)).flush
    flush.argtypes = [ctypes.c_void_p, ctypes.c_long]
    sides = [
        Buffer(problem, case, side, np.random.default_rng(int(report.data_seed))) for side in (baseline, candidate)
    ]
    bases = [ctypes.addressof(ctypes.c_char.from_buffer(buffer.side.memory)) for buffer in sides]
    operations = problem.operations(case.sizes)
    moved = float(sum(x.nbytes for x in sides[0].arrays.values()) + sides[0].of_output()[1])
    tokens = case.sizes[0] * (case.sizes[1] if "q" in sides[0].arrays else 1)
    pairs: dict[str, list[tuple[Call, Call]]] = {"warm": [], "cold": []}
    for turn in range(int(report.settings["warm"]) + int(report.settings["cold"])):
        kind = "warm" if turn < int(report.settings["warm"]) else "cold"
        both = []
        arrays = problem.draw(rng, case)
        for buffer, base in zip(sides, bases, strict=True):
            buffer.write(arrays)
            if kind == "cold":
                flush(base, len(buffer.side.memory))
            both.append(buffer.call())
        pairs[kind].append((both[0], both[1]))
        seconds = both[1].seconds
        report(
            turn + 1,
            speedup=both[0].seconds / seconds,
            tokens_per_s=tokens / seconds,
            gflops_per_s=operations / seconds / 1e9,
            gbytes_per_s=moved / seconds / 1e9,
        )
    check([ours for found in pairs.values() for _, ours in found], problem)
    again = measure(peaks)
    roofline = {name: max(value, again[name]) for name, value in roofline.items()}

    ratios = {kind: [theirs.seconds / ours.seconds for theirs, ours in found] for kind, found in pairs.items()}
    by_wall = [theirs.timed.wall / ours.timed.wall for theirs, ours in pairs["warm"]]
    seconds = statistics.median(ours.seconds for _, ours in pairs["warm"])
    least = least_seconds(operations, moved, roofline, pairs["warm"][0][1].timed.cores, problem.output is np.int32)
    refuse_impossible(min(ours.seconds for found in pairs.values() for _, ours in found), least)
    low, middle, high = statistics.quantiles(ratios["warm"], n=4)
    return {
        "score": middle,
        "spread": (high - low) / middle,
        "cold_speedup": statistics.median(ratios["cold"]),
        "wall_speedup": statistics.median(by_wall),
        "tokens_per_s": tokens / seconds,
        "gflops_per_s": operations / seconds / 1e9,
        "gbytes_per_s": moved / seconds / 1e9,
        "roofline_share": least / seconds,
        "milliseconds": seconds * 1e3,
        "load": os.getloadavg()[0],
        **roofline,
    }


def least_seconds(operations: float, moved: float, roofline: dict[str, float], cores: int, of_bytes: bool) -> float:
    """Return how long a call takes at this machine's peaks: four products of bytes take as long as one of floats."""
    peak = roofline["peak_gflops"] * (4 if of_bytes else 1)
    return max(operations / peak, moved / roofline["peak_cache_gbytes"]) / cores / 1e9


def refuse_impossible(fastest: float, least: float) -> None:
    """Refuse a kernel whose fastest call took less than is possible.

    Raises:
        Invalid: it did.
    """
    if fastest * PAST_ROOFLINE < least:
        told = f"{fastest * 1e3:.3g} ms, where this machine's peaks need {least * 1e3:.3g} ms"
        raise evolve_task.Invalid(f"faster than possible: {told}")
