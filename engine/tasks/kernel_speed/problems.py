"""The problems: their arrays and sizes, what they cost at least, and their definitions in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PROBLEMS", "Case", "Problem"]

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Sizes, and how the contents are drawn."""

    sizes: tuple[int, ...]
    kind: str = "plain"


@dataclass(frozen=True)
class Problem:
    """One problem. Its kernel takes the arrays, then the output, then the sizes as `int`."""

    draw: Callable[[np.random.Generator, Case], Arrays]
    """Draw the arrays, in the kernel's order."""
    define: Callable[[Arrays], np.ndarray]
    """Compute the output in float64 (integers: exactly)."""
    timed: Callable[[np.random.Generator, int], Case]
    """Draw the sizes of the timed calls, with rows that are a share of the usual ones."""
    checks: Callable[[np.random.Generator], list[Case]]
    """Draw odd sizes and extreme contents, for calls that are checked and not timed."""
    operations: Callable[[tuple[int, ...]], float]
    """The least additions and multiplications."""
    output: type = np.float32


def _odd(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low // 2, high // 2)) * 2 + 1


# Recurrences


def _draw_recurrent(rng: np.random.Generator, case: Case, third: str) -> Arrays:
    batch, tokens, heads, keys, values = case.sizes
    q, k = (rng.standard_normal((batch, tokens, heads, keys)) for _ in range(2))
    v = rng.standard_normal((batch, tokens, heads, values))
    scalar = rng.random((batch, tokens, heads))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    if case.kind == "tiny":
        v *= 1e-38  # about the smallest normal number: most products are below it
    elif case.kind == "huge":
        v *= 1e30
    elif case.kind == "same keys":
        k[:] = k[:, :1]
    elif case.kind == "rests":
        scalar[rng.random(scalar.shape) < 0.3] = 0.0
        k[rng.random(scalar.shape) < 0.2] = 0.0
    elif case.kind == "steps":
        scalar = np.where(rng.random(scalar.shape) < 0.3, 1.0, scalar * 1.9)
    scalar = -scalar if third == "g" else scalar
    return {name: x.astype(np.float32) for name, x in zip(("q", "k", "v", third), (q, k, v, scalar), strict=True)}


def _recur(q: np.ndarray, k: np.ndarray, v: np.ndarray, beta: Any, g: Any) -> np.ndarray:
    """Compute the delta rule, or with `g` a decayed sum, token by token; leading axes are [batch, tokens, heads]."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    state = np.zeros((*q.shape[:1], *q.shape[2:], v.shape[-1]))
    out = np.empty(v.shape)
    for t in range(q.shape[1]):
        write = v[:, t]
        if g is not None:
            state *= np.exp(g[:, t].astype(np.float64))[..., None, None]
        else:
            held = (k[:, t, :, None] @ state)[..., 0, :]
            write = beta[:, t].astype(np.float64)[..., None] * (write - held)
        state += k[:, t, :, :, None] * write[:, :, None]
        out[:, t] = (q[:, t, :, None] @ state)[..., 0, :]
    return out


def _recurrent_checks(rng: np.random.Generator) -> list[Case]:
    kinds = ["plain", "tiny", "huge", "same keys", "rests", "steps"]
    found = [Case((2, _odd(rng, 20, 90), 3, _odd(rng, 3, 70), _odd(rng, 3, 70)), kind) for kind in kinds]
    return [*found, Case((1, 1, 1, 1, 1)), Case((1, 64, 2, 64, 64)), Case((1, int(rng.integers(2, 140)), 1, 128, 96))]


def _recurrent_timed(rng: np.random.Generator, share: int) -> Case:
    return Case((1, _odd(rng, 700 // share, 900 // share), 2, 64, 64))


def _cells(sizes: tuple[int, ...]) -> float:
    batch, tokens, heads, keys, values = sizes
    return float(batch * tokens * heads * keys * values)


# Softmax attention


def _draw_attention(rng: np.random.Generator, case: Case) -> Arrays:
    arrays = _draw_recurrent(rng, Case(case.sizes, "huge" if case.kind == "huge" else "plain"), "g")
    del arrays["g"]
    if case.kind == "sharp":
        arrays["q"] *= np.float32(300)  # scores whose exponential is more than a float holds
    return arrays


def _attend(arrays: Arrays) -> np.ndarray:
    q, k, v = (arrays[name].astype(np.float64).swapaxes(1, 2) for name in ("q", "k", "v"))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights @ v / weights.sum(-1, keepdims=True)).swapaxes(1, 2)


def _attention_checks(rng: np.random.Generator) -> list[Case]:
    found = [Case((2, _odd(rng, 10, 70), 3, _odd(rng, 3, 70), _odd(rng, 3, 70)), k) for k in ("plain", "sharp", "huge")]
    return [*found, Case((1, 1, 1, 1, 1)), Case((1, 64, 2, 64, 64))]


# Layer norm


def _draw_rows(rng: np.random.Generator, case: Case) -> Arrays:
    rows, width = case.sizes
    x = rng.standard_normal((rows, width))
    if case.kind == "far":
        x += 50.0
    elif case.kind == "flat":
        x = x[:, :1] + 0.1 * x
    weight, bias = rng.standard_normal(width), rng.standard_normal(width)
    return {name: y.astype(np.float32) for name, y in (("x", x), ("weight", weight), ("bias", bias))}


def _normalise(arrays: Arrays) -> np.ndarray:
    x, weight, bias = (arrays[name].astype(np.float64) for name in ("x", "weight", "bias"))
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) * weight + bias


# Products of bytes


def _draw_bytes(rng: np.random.Generator, case: Case) -> Arrays:
    rows, inner, columns = case.sizes
    low = 127 if case.kind == "extreme" else -128
    a = rng.integers(low, 128, (rows, inner))
    b = rng.integers(low, 128, (inner, columns))
    if case.kind == "extreme":
        a, b = np.where(rng.random(a.shape) < 0.5, -128, a), np.where(rng.random(b.shape) < 0.5, -128, b)
    return {"a": a.astype(np.int8), "b": b.astype(np.int8)}


def _product_checks(rng: np.random.Generator) -> list[Case]:
    odd = [Case(tuple(_odd(rng, 3, 90) for _ in range(3)), kind) for kind in ("plain", "extreme")]
    return [*odd, Case((1, 1, 1)), Case((64, 64, 64)), Case((3, _odd(rng, 900, 1100), 5), "extreme")]


PROBLEMS: dict[str, Problem] = {
    "delta_rule": Problem(
        draw=lambda rng, case: _draw_recurrent(rng, case, "beta"),
        define=lambda arrays: _recur(arrays["q"], arrays["k"], arrays["v"], arrays["beta"], None),
        timed=_recurrent_timed,
        checks=_recurrent_checks,
        operations=lambda sizes: 6 * _cells(sizes),
    ),
    "ssd": Problem(
        draw=lambda rng, case: _draw_recurrent(rng, case, "g"),
        define=lambda arrays: _recur(arrays["q"], arrays["k"], arrays["v"], None, arrays["g"]),
        timed=_recurrent_timed,
        checks=_recurrent_checks,
        # A decay can be kept out of the state and put into keys and queries.
        operations=lambda sizes: 4 * _cells(sizes),
    ),
    "softmax_attention": Problem(
        draw=_draw_attention,
        define=_attend,
        timed=lambda rng, share: Case((1, _odd(rng, 350 // share, 450 // share), 2, 64, 64)),
        checks=_attention_checks,
        operations=lambda sizes: float(sizes[0] * sizes[2] * sizes[1] ** 2 * (sizes[3] + sizes[4])),
    ),
    "layer_norm": Problem(
        draw=_draw_rows,
        define=_normalise,
        timed=lambda rng, share: Case((_odd(rng, 900 // share, 1100 // share), _odd(rng, 900, 1100))),
        checks=lambda rng: [
            *(Case((_odd(rng, 3, 20), _odd(rng, 3, 300)), kind) for kind in ("plain", "far", "flat")),
            Case((1, 1)),
            Case((4, 64)),
        ],
        operations=lambda sizes: 5.0 * sizes[0] * sizes[1],
    ),
    "int8_matmul": Problem(
        draw=_draw_bytes,
        define=lambda arrays: np.rint(arrays["a"].astype(np.float64) @ arrays["b"].astype(np.float64)),
        timed=lambda rng, share: Case(
            (_odd(rng, 200 // share, 260 // share), _odd(rng, 200, 260), _odd(rng, 200, 260))
        ),
        checks=_product_checks,
        operations=lambda sizes: 2.0 * sizes[0] * sizes[1] * sizes[2],
        output=np.int32,
    ),
}
"""By name."""
