"""Recall tasks that distinguish memories: stored values must be found again, also after they were overwritten.

Every row is a sequence of tokens, [length + 1], and marks of the counted predictions, [length]. The answers are in the
sequence itself, after each question or further back; every row maps keys to values anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["PROXIES", "VOCABULARY", "draw"]

VOCABULARY = 64
"""Number of tokens; keys are the lower half, values the upper half."""
OVERWRITTEN = 0.25
"""Share of the later pairs that give a known key a new value."""

Rows = tuple[np.ndarray, np.ndarray]


def draw(name: str, count: int, length: int, rng: np.random.Generator) -> Rows:
    """Draw rows of a proxy: tokens [count, length + 1] of uint8, marks [count, length] of bool.

    Raises:
        ValueError: the proxy is unknown, or the length is not a whole number of pairs.
    """
    if name not in PROXIES:
        raise ValueError(f"recall names '{name}'; there are {', '.join(sorted(PROXIES))}")
    if length < 16 or length % 4:
        raise ValueError(f"recall_length is {length}: a multiple of 4 from 16 is needed")
    return PROXIES[name](count, length, rng)


def overwrites(count: int, length: int, rng: np.random.Generator) -> Rows:
    """Draw key, value, key, value, …: a known key repeats its last value or, a quarter of the time, gets a new one.

    The counted predictions are repeated values. A memory that only adds cannot forget the old ones.
    """
    keys_among = min(VOCABULARY // 2, 3 * length // 16)
    pairs = length // 2 + 1
    keys = rng.integers(0, keys_among, (count, pairs))
    fresh = rng.integers(VOCABULARY // 2, VOCABULARY, (count, pairs))
    changes = rng.random((count, pairs)) < OVERWRITTEN
    held = np.full((count, keys_among), -1)
    tokens = np.empty((count, 2 * pairs), np.uint8)
    marks = np.zeros((count, 2 * pairs - 1), bool)
    rows = np.arange(count)
    for place in range(pairs):
        key = keys[:, place]
        known = held[rows, key] >= 0
        value = np.where(known & ~changes[:, place], held[rows, key], fresh[:, place])
        held[rows, key] = value
        tokens[:, 2 * place], tokens[:, 2 * place + 1] = key, value
        marks[:, 2 * place] = known & ~changes[:, place]
    return tokens[:, : length + 1], marks[:, :length]


def queries(count: int, length: int, rng: np.random.Generator) -> Rows:
    """Draw many pairs of key and value, then keys in any order with their values (MQAR of Arora et al., 2023)."""
    half = VOCABULARY // 2
    pairs = min(half, 3 * length // 16)
    keys = rng.permuted(np.tile(np.arange(half), (count, 1)), axis=1)[:, :pairs]
    values = rng.integers(half, VOCABULARY, (count, pairs))
    asked = rng.integers(0, pairs, (count, length // 2 + 1 - pairs))
    rows = np.arange(count)[:, None]
    first = np.stack([keys, values], 2).reshape(count, -1)
    then = np.stack([keys[rows, asked], values[rows, asked]], 2).reshape(count, -1)
    tokens = np.concatenate([first, then], 1)[:, : length + 1].astype(np.uint8)
    marks = np.zeros((count, length), bool)
    marks[:, 2 * pairs :: 2] = True
    return tokens, marks


PROXIES: dict[str, Callable[[int, int, np.random.Generator], Rows]] = {"overwrites": overwrites, "queries": queries}
"""Proxies by name."""
