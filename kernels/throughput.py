"""Measure the operators' speed on this machine and compare it with softmax attention and the machine's roofline.

Contenders of one length and pass are timed in turns, so that a busy moment affects all of them; results are medians
and interquartile ranges. Every contender is first checked against the definition: a wrong one is not timed. All
implementations of an operator count the same work, that of its chunk-wise form.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import operators

__all__ = [
    "Contender",
    "Roofline",
    "Shape",
    "Timed",
    "as_rows",
    "check",
    "contenders",
    "measure",
    "measure_roofline",
    "race",
    "work",
]

_ARGUMENTS = {
    "linear_attention": ("q", "k", "v"),
    "ssd": ("q", "k", "v", "g"),
    "delta_rule": ("q", "k", "v", "beta"),
    "gated_delta_rule": ("q", "k", "v", "beta", "g"),
    "sdpa": ("q", "k", "v"),
}
# The chunk size that work is counted for, the fastest on a CPU.
_CHUNK = 32
# Beyond this length, softmax attention and unoptimised files from elsewhere take minutes on a CPU.
_LONGEST_YARDSTICK = 8192


@dataclass(frozen=True)
class Shape:
    """The measured shape: sequences × heads × width of a head, with data type and device."""

    batch: int
    heads: int
    width: int
    dtype: torch.dtype
    device: str


@dataclass(frozen=True)
class Roofline:
    """Peaks measured on this machine with a large matrix product and a large copy."""

    tflops: float
    gbs: float


@dataclass(frozen=True)
class Contender:
    """One implementation of an operator."""

    op: str
    implementation: str
    call: Callable[..., Tensor]
    """Take the operator's arguments by name and return the outputs."""
    heads_first: bool = False
    """Whether it takes and returns [B, H, T, …]."""
    longest: int | None = None
    """The longest sequence to try; None for no limit."""


@dataclass(frozen=True)
class Timed:
    """The times of a contender in seconds."""

    contender: Contender
    length: int
    both: bool
    """Whether it is forward and backward, or forward alone."""
    times: list[float]
    peak_mb: float | None


def measure(
    full: bool = False, against: Path | None = None, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Measure all contenders at lengths 512 and 2048, with `full` at 8192 and 32768 too.

    Args:
        full: whether to measure longer sequences, with more repetitions.
        against: a checkout of flash-linear-attention whose plain PyTorch files are measured as well.
        say: called with messages about the machine's peaks and the current measurement.

    Returns:
        One row per contender, pass and length: op, implementation, pass ("fwd" or "fwdbwd"), T, tokens_per_s, spread
        (interquartile range over median), tflops, gbs (inputs and outputs moved once), peak_mb (memory beyond the
        inputs; None if the system does not tell), vs_sdpa (speed over softmax attention's; None if that was not run),
        roofline (the time that the machine's peaks allow, over the time taken).

    Raises:
        ValueError: `against` is not such a checkout.
        ArithmeticError: a contender's results differ from the definition's.
    """
    if torch.cuda.is_available():
        shape = Shape(8, 16, 128, torch.bfloat16, "cuda")
    else:
        shape = Shape(4, 4, 64, torch.float32, "cpu")
    field = contenders(shape, against)
    for contender in field:
        check(contender, shape)
    peaks, timed = [measure_roofline(shape)], []
    for length in (512, 2048, 8192, 32768) if full else (512, 2048):
        entered = [c for c in field if c.longest is None or length <= c.longest]
        for both in (False, True):
            say(f"T = {length}, forward{' and backward' if both else ''}")
            timed += race(entered, shape, length, both, seconds=30 if full else 4)
    # Measured twice: a busy moment during one measurement would make all contenders look good.
    peaks.append(measure_roofline(shape))
    roofline = Roofline(max(p.tflops for p in peaks), max(p.gbs for p in peaks))
    say(f"this machine reached {roofline.tflops:.3g} TFLOP/s and {roofline.gbs:.3g} GB/s")
    return as_rows(timed, shape, roofline)


def contenders(shape: Shape, against: Path | None = None) -> list[Contender]:
    """List softmax attention, our operators as `auto` runs them, and the functions of a checkout."""
    implementation = "triton" if shape.device == "cuda" else "chunk"
    field = [Contender("sdpa", "torch", _softmax_attention, heads_first=True, longest=_LONGEST_YARDSTICK)]
    for op in ("linear_attention", "ssd", "delta_rule", "gated_delta_rule"):
        call = getattr(operators, op)
        field.append(Contender(op, implementation, lambda call=call, **x: call(**x, implementation=implementation)[0]))
    return field + ([] if against is None else list(_peers(against)))


def work(op: str, length: int, shape: Shape, both: bool) -> tuple[float, float]:
    """Return the least operations and bytes of an operator, forward or forward and backward.

    Operations are those of the matrix products of the chunk-wise form with chunks of 32 (for softmax attention: of the
    lower triangle); bytes are inputs and outputs, read or written once in each pass.
    """
    c, d = _CHUNK, shape.width
    if op == "sdpa":
        operations = [2 * length * d, 5 * length * d]
    elif "delta" in op:
        operations = [8 * c * d + 6 * d * d + c * c, 18 * c * d + 12 * d * d]
    else:
        operations = [4 * c * d + 4 * d * d, 10 * c * d + 8 * d * d]
    scalars = 4 * (len(_ARGUMENTS[op]) - 3)
    size = torch.finfo(shape.dtype).bits // 8
    moved = [4 * d * size + scalars, 7 * d * size + 2 * scalars]
    rows = shape.batch * shape.heads * length
    passes = 2 if both else 1
    return float(rows * sum(operations[:passes])), float(rows * sum(moved[:passes]))


def measure_roofline(shape: Shape) -> Roofline:
    """Time large matrix products in the shape's type and copies of 256 MB; return the best of several each."""
    side = 8192 if shape.device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=shape.device).to(shape.dtype) for _ in range(2))
    product = min(_seconds(lambda: a @ b, shape.device) for _ in range(8))
    source = torch.ones(1 << 26, device=shape.device)
    target = torch.empty_like(source)
    copy = min(_seconds(lambda: target.copy_(source), shape.device) for _ in range(8))
    return Roofline(2 * side**3 / product / 1e12, 2 * source.nbytes / copy / 1e9)


def race(field: list[Contender], shape: Shape, length: int, both: bool, seconds: float) -> list[Timed]:
    """Time contenders in turns, each at least three times, for about `seconds` in all."""
    runs = [_runner(contender, _inputs(contender, shape, length), both) for contender in field]
    peaks = [_peak_mb(run, shape.device) for run in runs]
    times: list[list[float]] = [[] for _ in runs]
    began = time.perf_counter()
    while len(times[0]) < 3 or (time.perf_counter() - began < seconds and len(times[0]) < 50):
        for run, taken in zip(runs, times, strict=True):
            taken.append(_seconds(run, shape.device))
    return [Timed(c, length, both, t, p) for c, t, p in zip(field, times, peaks, strict=True)]


def as_rows(timed: list[Timed], shape: Shape, roofline: Roofline) -> list[dict[str, Any]]:
    """Convert times to the rows of `measure`."""
    yardsticks = {(t.length, t.both): statistics.median(t.times) for t in timed if t.contender.op == "sdpa"}
    rows = []
    for one in timed:
        operations, moved = work(one.contender.op, one.length, shape, one.both)
        low, median, high = statistics.quantiles(one.times, n=4)
        allowed = max(operations / roofline.tflops / 1e12, moved / roofline.gbs / 1e9)
        yardstick = yardsticks.get((one.length, one.both))
        rows.append(
            {
                "op": one.contender.op,
                "implementation": one.contender.implementation,
                "pass": "fwdbwd" if one.both else "fwd",
                "T": one.length,
                "tokens_per_s": shape.batch * one.length / median,
                "spread": (high - low) / median,
                "tflops": operations / median / 1e12,
                "gbs": moved / median / 1e9,
                "peak_mb": one.peak_mb,
                "vs_sdpa": None if yardstick is None else yardstick / median,
                "roofline": allowed / median,
            }
        )
    return rows


def _inputs(contender: Contender, shape: Shape, length: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(length)
    sizes = (shape.batch, length, shape.heads)
    made = {name: torch.randn(*sizes, shape.width, generator=random) for name in ("q", "k", "v")}
    made |= {name: F.normalize(made[name], dim=-1) for name in ("q", "k")}
    made = {name: x.to(shape.dtype) for name, x in made.items()}
    made["beta"] = torch.rand(sizes, generator=random)
    made["g"] = -0.1 * torch.rand(sizes, generator=random)
    chosen = {name: made[name].to(shape.device) for name in _ARGUMENTS[contender.op]}
    if contender.heads_first:
        chosen = {name: x.transpose(1, 2).contiguous() for name, x in chosen.items()}
    return chosen


def _runner(contender: Contender, given: dict[str, Tensor], both: bool) -> Callable[[], None]:
    if not both:

        def forward() -> None:
            with torch.no_grad():
                contender.call(**given)

        return forward
    leaves = {name: x.requires_grad_() for name, x in given.items()}
    weights = torch.ones_like(leaves["v"])

    def backward() -> None:
        torch.autograd.grad(contender.call(**leaves), list(leaves.values()), weights)

    return backward


def check(contender: Contender, shape: Shape) -> None:
    """Compare a contender's outputs and gradients with the definition; softmax attention has no other definition.

    Raises:
        ArithmeticError: they differ.
    """
    if contender.op == "sdpa":
        return
    small = Shape(2, 2, shape.width, shape.dtype, shape.device)
    bound = 1e-5 if shape.dtype == torch.float32 else 0.02
    given = _inputs(contender, small, 192)
    exact = {name: (x.transpose(1, 2) if contender.heads_first else x).double() for name, x in given.items()}
    wanted = _outputs_and_gradients(
        lambda **x: getattr(operators, contender.op)(**x, implementation="reference")[0], exact
    )
    found = _outputs_and_gradients(contender.call, given)
    for name, x in found.items():
        y = (x.transpose(1, 2) if contender.heads_first else x).double()
        error = ((y - wanted[name]).square().mean() / wanted[name].square().mean()).sqrt().item()
        if not error <= bound:
            raise ArithmeticError(
                f"{contender.op} by '{contender.implementation}': {name} is off by {error:.2g} (relative root mean "
                f"square, {bound:g} allowed), so it is not timed"
            )


def _outputs_and_gradients(call: Callable[..., Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in given.items()}
    out = call(**leaves)
    return {"the output": out.detach()} | {
        f"the gradient of {name}": x
        for name, x in zip(leaves, torch.autograd.grad(out.sum(), list(leaves.values())), strict=True)
    }


def _peers(checkout: Path) -> Iterator[Contender]:
    """Load the plain PyTorch chunk functions from the files of a checkout of flash-linear-attention."""
    for op, folder, function, heads_first, name in (
        ("linear_attention", "linear_attn", "naive_chunk_linear_attn", False, "fla naive chunk 64"),
        ("ssd", "simple_gla", "naive_chunk_simple_gla", False, "fla naive chunk 64"),
        ("delta_rule", "delta_rule", "delta_rule_chunkwise", True, "fla naive chunk 32"),
        ("gated_delta_rule", "gated_delta_rule", "naive_chunk_gated_delta_rule", False, "fla naive chunk 64"),
    ):
        file = checkout / "fla" / "ops" / folder / "naive.py"
        spec = importlib.util.spec_from_file_location(f"fla_naive_{folder}", file)
        if not file.is_file() or spec is None or spec.loader is None:
            raise ValueError(f"there is no {file}: --against wants a checkout of flash-linear-attention")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            call = getattr(module, function)
        except (ImportError, AttributeError) as exc:
            raise ValueError(f"{file} cannot be used: {exc} (it needs einops: pip install einops)") from exc
        yield Contender(op, name, functools.partial(_first, call), heads_first, _LONGEST_YARDSTICK)


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _first(call: Callable[..., Any], **given: Tensor) -> Tensor:
    result = call(**given)
    out: Tensor = result[0] if isinstance(result, tuple) else result
    return out


def _seconds(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _peak_mb(run: Callable[[], None], device: str) -> float | None:
    """Return the peak memory that a run adds, in MB; on a CPU that of the whole process, as Linux counts it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    try:
        gc.collect()
        # The run would reuse memory that the allocator holds without it being counted.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    resident = _status("VmRSS")
    run()
    return (_status("VmHWM") - resident) / 1e6


def _status(key: str) -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(lines[key].split()[0]) * 1024
