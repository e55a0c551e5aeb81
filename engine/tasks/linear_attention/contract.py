"""Check a layer's contract before training: measure each rule, and refuse violations with the measured figure.

ASI-Arch lets a model read the code for these; here the layer is run. Its results are compared in this process, which
never runs candidate code; only operations are counted beside the candidate, since that is impossible from outside.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import evolve_task
import numpy as np

__all__ = ["Budget", "audit", "audit_time", "check_layer", "check_state", "checked", "compare", "forward"]

LENGTH = 100
PIECES = (37, 1, 26, 36)
ENDS = (0, 14, 62, 63)
"""Last tokens of the shorter sequences to test, on both sides of a chunk's border."""
CUTS = (0, 30, 31, 62, 63, 98)
"""Tokens after which all following tokens are replaced."""
SHORTEST = (20, 72)
"""The work is counted at a length drawn from these, and at 4, 16 and 64 times that many tokens."""
DRAWN = 6
"""Further sequences, of lengths and numbers that are drawn too, whose work is counted in passes that are compared."""
GROWTH = 5.0
"""The largest allowed growth of work with four times the tokens: 4 is linear, 16 is quadratic.

The operators of `kernels` and every recipe of the base reach 4.0 from 32 tokens on, and less below, where a chunk is
not full; pure T log T work reaches 5.0 at 1,024 tokens. Softmax attention reaches from 5.3 (half of all pairs, plus the
projections of a layer of width 64, from 32 to 128 tokens) to 16.
"""
KINDS = ("operations of products", "numbers written", "operations in all", "numbers read or written in all")
HIDDEN = 1.1
"""The profiler may see so many times the operations that the mode counts: it sees no solves, and nothing besides."""
TIMED = (512, 640)
"""Time is compared at lengths drawn from these, and at 16 times as many tokens."""
TIMED_BACK = (256, 320)
"""The same for passes forwards and backwards."""
TIMES, TIMES_BACK = (3, 7), (1, 5)
"""Pairs of lengths that are timed, and in all if they show too much."""
FURTHER = 16
"""The longer length of a pair is so many times the shorter one."""
SLOWER = 1.3
"""Time may grow so many times as much as the counted work.

Layers of the base reach from 5 to 15 with 16 times the tokens, since short passes have fixed costs too, on a machine
with eight times as many tasks as cores. A hidden product of all pairs reaches from 24 to 113.
"""
ROUNDING = 1e-3
"""Differences up to this share of the outputs' size count as rounding, from sums in another order."""


@dataclass(frozen=True)
class Budget:
    """The most that a layer of some width may hold."""

    weights: int
    """Numbers, buffers included."""
    state: int
    """Numbers in a sequence's state, independent of its length."""


def check_layer(
    session: Any,
    width: int,
    heads: int,
    budget: Budget,
    seed: int,
    lengths: Sequence[int] = (),
    sandbox_seed: int = 0,
    clock: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Check a candidate's layer against the contract.

    Args:
        session: a session with `beside.py`.
        width, heads: shape of the layer.
        budget: the most that it may hold.
        seed: seed of inputs, lengths and cuts, which the sandbox must not be able to predict.
        lengths: lengths of the sequences used for scoring; the state must keep to its budget at these, too.
        sandbox_seed: seed of weights; the sandbox learns it.
        clock: see `audit_time`.

    Returns:
        Metrics: layer_weights, layer_state, operations_per_token, growth (of the work with 4 times the tokens).

    Raises:
        Invalid: a rule is broken; the message gives the measured figure.
    """
    rng = np.random.default_rng([seed, 3])
    count = session.call("build", width, heads, sandbox_seed)
    if type(count) is not int:
        raise evolve_task.Invalid("forward: the sandbox handed back no counts")
    if count > budget.weights:
        raise evolve_task.Invalid(f"parameter budget: the layer holds {count:,} numbers; {budget.weights:,} may be")
    x = rng.standard_normal((4, LENGTH, width)).astype(np.float32)
    whole = _forward(session, x)
    _check_batch(session, x, whole)
    _check_causality(session, x, whole, rng)
    _check_gradient(session, x, whole, rng)
    for last in (*ENDS, *rng.integers(1, LENGTH - 1, 4).tolist()):
        compare(
            _forward(session, x[:, : last + 1]),
            whole[:, : last + 1],
            f"lengths: outputs are others when the sequence ends after {last + 1} tokens instead of {LENGTH}",
        )
    many = rng.standard_normal((24, max([LENGTH, *lengths]), width)).astype(np.float32)
    work = audit(session, 0, many, _forward(session, many), budget, rng)
    audit_time(session, 0, width, rng, clock)
    _audit_training(session, width, rng, clock)
    _check_pieces(session, x, whole, PIECES, budget)
    for length in lengths:
        x = rng.standard_normal((int(rng.integers(2, 9)), length, width)).astype(np.float32)
        cut = int(rng.integers(1, length - 1))
        _check_pieces(session, x, _forward(session, x), (cut, 1, length - cut - 1), budget)
    return {"layer_weights": count, **work}


def compare(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Refuse outputs that should be equal but differ.

    Raises:
        Invalid: they differ; the message holds `what` and the difference.
    """
    size = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) + 1e-6
    difference = float(np.abs(found - wanted).max())
    if not difference <= ROUNDING * size:
        raise evolve_task.Invalid(f"{what}: they moved by {difference:.3g}, where their own size is {size:.3g}")


def _forward(session: Any, x: np.ndarray) -> np.ndarray:
    return forward(session, 0, x)[0]


def forward(session: Any, index: int, x: np.ndarray, counted: bool = False) -> tuple[np.ndarray, list[int]]:
    """Return a layer's outputs for x, and the work of this very pass: five counts per sequence, or none.

    The counts are operations of products and numbers written, as a dispatch mode sees them and as torch's profiler
    does, and numbers of state.

    Raises:
        Invalid: the outputs are no finite numbers, or the pass did no work, or the layer keeps numbers of its own.
    """
    found = session.call("forward", index, x, counted)
    if not isinstance(found, list) or len(found) != 2:
        raise evolve_task.Invalid("forward: the sandbox handed back no outputs")
    y = checked(found[0], x)
    if not counted:
        return y, []
    counts = found[1]
    if not isinstance(counts, list) or len(counts) != 6 or not all(type(item) is int for item in counts):
        raise evolve_task.Invalid("forward: the sandbox handed back no counts")
    *counts, kept = counts
    for kind, count in zip(KINDS, counts[:4], strict=True):
        if count <= 0:
            raise evolve_task.Invalid(f"complexity: {kind} in a pass over {x.shape[1]:,} tokens are {count}")
    if counts[2] > HIDDEN * counts[0]:
        raise evolve_task.Invalid(
            f"complexity: {counts[2]:,} operations of products were done in a pass over {x.shape[1]:,} tokens, and "
            f"only {counts[0]:,} of them were seen by the count: the program hides its work"
        )
    if kept > 0:
        raise evolve_task.Invalid(
            f"state: after a pass over {x.shape[1]:,} tokens the layer and its program keep {kept:,} numbers more than "
            "before: all that later tokens need must be in the state"
        )
    return y, [-(-count // len(x)) for count in counts]


def checked(y: Any, x: np.ndarray) -> np.ndarray:
    """Return a layer's outputs if they are finite numbers in the inputs' shape.

    Raises:
        Invalid: they are not.
    """
    if not isinstance(y, np.ndarray) or y.dtype.kind != "f" or y.shape != x.shape:
        shape = list(y.shape) if isinstance(y, np.ndarray) else type(y).__name__
        raise evolve_task.Invalid(f"forward: outputs must have the shape {list(x.shape)}, not {shape}")
    bad = int((~np.isfinite(y)).sum())
    if bad:
        raise evolve_task.Invalid(f"forward: {bad} of {y.size} outputs are not finite")
    return y.astype(np.float32)


def check_state(size: Any, length: int, budget: Budget) -> None:
    """Refuse a state that exceeds its budget after `length` tokens.

    Raises:
        Invalid: it does; the message gives its size.
    """
    if type(size) is not int:
        raise evolve_task.Invalid("forward: the sandbox handed back no counts")
    if size > budget.state:
        raise evolve_task.Invalid(
            f"state: it holds {size:,} numbers after {length:,} tokens; {budget.state:,} may be, at any length"
        )


def audit(
    session: Any, index: int, x: np.ndarray, wanted: np.ndarray, budget: Budget, rng: np.random.Generator
) -> dict[str, float]:
    """Count the work of passes of many lengths, whose outputs are compared with those of the passes that are scored.

    A layer that does less where it is counted has other outputs there. Sequences are beginnings of those that are
    scored, and several of them in a row; a pass cannot be told from a scored one.

    Args:
        x, wanted: inputs and outputs of passes over sequences from their start, [n, T, width].
        rng: draws lengths and numbers of sequences.

    Raises:
        Invalid: outputs differ, work grows faster than the length, or the state is too large.
    """
    count, context, width = x.shape
    base = int(rng.integers(*SHORTEST))
    plan = [(1, base * 4**step) for step in range(4)]
    short = int(rng.integers(max(4, context // 5), context // 4 + 1))
    some = int(rng.integers(2, min(24, count) + 1))
    plan += [(some, short), (some, 4 * short), (count, context), (1, context)]
    plan += [(int(rng.integers(1, min(16, count) + 1)), int(rng.integers(2, context + 1))) for _ in range(DRAWN)]
    counted: dict[tuple[int, int], list[int]] = {}
    found = {"growth": 0.0}
    for number in rng.permutation(len(plan)).tolist():
        batch, length = plan[number]
        rows = rng.integers(0, count, (batch, -(-length // context)))
        if batch == count:
            rows[:, 0] = np.arange(count)
        given = x[rows].reshape(batch, -1, width)[:, :length]
        known = min(length, context)
        y, counts = forward(session, index, given, True)
        compare(
            y[:, :known],
            wanted[rows[:, 0]][:, :known],
            f"complexity: in a pass over {batch} sequences of {length:,} tokens, whose work was counted, outputs of "
            "the first tokens are others than elsewhere",
        )
        check_state(counts[4], length, budget)
        counted[batch, length] = counts
    for (batch, length), counts in sorted(counted.items()):
        before = counted.get((batch, length // 4)) if length % 4 == 0 else None
        for kind, now, then in zip(KINDS, counts, before or (), strict=False):
            growth = now / max(1, then)
            if growth > GROWTH:
                raise evolve_task.Invalid(
                    f"complexity: {kind} grow {growth:.1f}-fold from {length // 4:,} to {length:,} tokens "
                    f"({then:,} to {now:,}); up to {GROWTH:g}-fold may be, and quadratic is 16-fold"
                )
            found["growth"] = max(found["growth"], growth)
    if not found["growth"] > 1:
        raise evolve_task.Invalid(f"complexity: work grows {found['growth']:.2g}-fold with four times the tokens")
    longest = counted[1, base * 64]
    return found | {"operations_per_token": longest[0] / (base * 64), "layer_state": longest[4]}


def audit_time(
    session: Any, index: int, width: int, rng: np.random.Generator, clock: Callable[[], float] | None = None
) -> float:
    """Compare how time grows with the length with how the counted work does; return the growth of time.

    The count is taken inside of the sandbox, the time outside: what a count misses takes time all the same. Passes are
    timed over new inputs, and counted afterwards over the same, with the same outputs.

    Args:
        clock: seconds that the sandbox has worked; by default the session's CPU time.

    Raises:
        Invalid: time grows faster.
    """

    def run(length: int, counted: bool, x: np.ndarray) -> list[int]:
        y, counts = forward(session, index, x, counted)
        if not counted:
            outputs.setdefault(length, y)
        elif length in outputs:
            what = (
                f"complexity: in a pass over {length:,} tokens whose work was counted outputs are others than elsewhere"
            )
            compare(y, outputs[length], what)
        return counts[:4]

    outputs: dict[int, np.ndarray] = {}
    return _compare_growth(run, width, TIMED, TIMES, rng, clock or (lambda: float(session.cpu_seconds)), "")


def _audit_training(
    session: Any, width: int, rng: np.random.Generator, clock: Callable[[], float] | None = None
) -> None:
    """Compare time and counted work of passes forwards and backwards, in training mode, as `audit_time` does."""

    def run(length: int, counted: bool, x: np.ndarray) -> list[int]:
        found = session.call("gradient", x, length - 1, np.roll(x, 1, 1), counted)
        if not isinstance(found, list) or len(found) != 3:
            raise evolve_task.Invalid("gradient: the sandbox handed back none")
        if not counted:
            return []
        counts = found[2]
        if not isinstance(counts, list) or len(counts) != 4 or not all(type(n) is int and n > 0 for n in counts):
            raise evolve_task.Invalid("gradient: the sandbox handed back no counts")
        return counts

    where = " of passes forwards and backwards"
    _compare_growth(run, width, TIMED_BACK, TIMES_BACK, rng, clock or (lambda: float(session.cpu_seconds)), where)


def _compare_growth(
    run: Callable[[int, bool, np.ndarray], list[int]],
    width: int,
    lengths: tuple[int, int],
    times: tuple[int, int],
    rng: np.random.Generator,
    clock: Callable[[], float],
    where: str,
) -> float:
    """Time passes of several pairs of lengths, count the first pair, and compare the growth of both.

    Args:
        run: runs a pass of so many tokens over inputs, counted or not, and returns the counts.
        lengths: what the shorter lengths are drawn from.
        times: pairs at first, and in all if they show too much.
        clock: seconds that the sandbox has worked.
        where: names the passes in messages.

    Raises:
        Invalid: work grows faster than the length, or time faster than the work.
    """
    pairs: list[tuple[int, float, float]] = []
    given: list[np.ndarray] = []
    growth = claimed = 0.0
    for most in times:
        while len(pairs) < most:
            short = int(rng.integers(*lengths))
            spent = []
            for length in (short, FURTHER * short):
                x = rng.standard_normal((1, length, width)).astype(np.float32)
                given = [*given, x][:2]
                began = clock()
                run(length, False, x)
                spent.append(max(clock() - began, 1e-4))
            pairs.append((short, spent[0], spent[1]))
        if not claimed:
            short = pairs[0][0]
            then, now = (run(x.shape[1], True, x) for x in given)
            claimed = max(b / max(1, a) for a, b in zip(then, now, strict=True))
            if claimed > GROWTH**2:
                raise evolve_task.Invalid(
                    f"complexity: the work{where} grows {claimed:.1f}-fold from {short:,} to {FURTHER * short:,} "
                    f"tokens; up to {GROWTH**2:g}-fold may be, and quadratic is {FURTHER**2}-fold"
                )
        growth = statistics.median(long / brief for _, brief, long in pairs)
        if growth <= SLOWER * max(FURTHER, claimed):
            return growth
    least, largest = min(pair[0] for pair in pairs), max(pair[0] for pair in pairs)
    raise evolve_task.Invalid(
        f"complexity: the time{where}, measured outside of the sandbox, grows {growth:.1f}-fold with {FURTHER} times "
        f"the tokens (median of {len(pairs)} pairs from {least:,} to {FURTHER * largest:,} tokens), and the counted "
        f"work {claimed:.1f}-fold: the program works where it is not counted"
    )


def _check_batch(session: Any, x: np.ndarray, whole: np.ndarray) -> None:
    for row in (0, 2):
        compare(
            _forward(session, x[row : row + 1]),
            whole[row : row + 1],
            "batch independence: a sequence's outputs are others without its neighbours in the batch",
        )
    compare(
        _forward(session, x[::-1].copy())[::-1],
        whole,
        "batch independence: a sequence's outputs are others at another place in the batch",
    )


def _check_causality(session: Any, x: np.ndarray, whole: np.ndarray, rng: np.random.Generator) -> None:
    for cut in CUTS:
        changed = x.copy()
        changed[:, cut + 1 :] = 3 * rng.standard_normal(changed[:, cut + 1 :].shape)
        found = _forward(session, changed)
        compare(
            found[:, : cut + 1],
            whole[:, : cut + 1],
            f"causality: outputs up to token {cut} are others when later tokens change",
        )
        if cut + 2 < LENGTH and np.array_equal(found, whole):
            raise evolve_task.Invalid("forward: outputs do not depend on the inputs at all")


def _check_gradient(session: Any, x: np.ndarray, whole: np.ndarray, rng: np.random.Generator) -> None:
    for last in (31, 64):
        weights = rng.standard_normal(whole[:, : last + 1].shape).astype(np.float32)
        found = session.call("gradient", x, last, weights)
        if not isinstance(found, list) or len(found) != 3:
            raise evolve_task.Invalid("gradient: the sandbox handed back none")
        by_x = checked(found[0], x)
        if found[1]:
            raise evolve_task.Invalid(f"gradient: that by the weights {', '.join(map(str, found[1]))} is not finite")
        inside, outside = float(np.abs(by_x[:, : last + 1]).max()), float(np.abs(by_x[:, last + 1 :]).max())
        if inside == 0:
            raise evolve_task.Invalid("gradient: outputs have none by the inputs, so that nothing can be learned")
        if outside > 1e-5 * inside:
            raise evolve_task.Invalid(
                f"causality: the gradient of outputs up to token {last} by later inputs is {outside:.3g}, where it "
                f"must be 0 ({inside:.3g} by the inputs before)"
            )


def _check_pieces(session: Any, x: np.ndarray, whole: np.ndarray, sizes: Sequence[int], budget: Budget) -> None:
    found = session.call("pieces", x, list(sizes))
    if not isinstance(found, list) or len(found) != 2 or any(len(part) != len(sizes) for part in found):
        raise evolve_task.Invalid("pieces: the sandbox handed back no outputs")
    start = 0
    for size, part, state in zip(sizes, *found, strict=True):
        compare(
            checked(part, x[:, start : start + size]),
            whole[:, start : start + size],
            f"pieces: fed in pieces of {', '.join(map(str, sizes))} tokens with the state handed on, outputs "
            f"{start} to {start + size - 1} are others",
        )
        start += size
        check_state(state, start, budget)
