"""Compute sketches of programs: 64 characters that give an estimate of the difference between two programs.

MinHash over the set of a program's lines, with one byte kept of each minimum (Broder, "On the resemblance and
containment of documents", 1997; Li and König, "b-Bit Minwise Hashing", 2010): a sampler can compare thousands of
programs without reading their text again.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_distance", "read_sketch", "sketch"]

_SLOTS = 32
# A string seed is hashed with SHA-512, the same in every process and release; this string must never change.
_RNG = random.Random("engine.sketch")
_FACTORS = np.array([_RNG.getrandbits(64) | 1 for _ in range(_SLOTS)], dtype=np.uint64)
_OFFSETS = np.array([_RNG.getrandbits(64) for _ in range(_SLOTS)], dtype=np.uint64)


def sketch(code: str, comment: str = "#") -> str:
    """Return the sketch of a program, 64 hexadecimal digits; empty for a program without lines.

    Indentation, blank lines, lines that hold only a comment and the order of lines do not count.

    Args:
        code: the program.
        comment: the sign that begins a comment; empty if there is none.
    """
    stripped = {line.strip() for line in code.splitlines()}
    lines = [line for line in stripped if line and not (comment and line.startswith(comment))]
    if not lines:
        return ""
    digests = b"".join(map(_digest, lines))
    hashes = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    least = np.minimum.reduce(hashes[:, None] * _FACTORS + _OFFSETS, axis=0)
    # The high bits of a minimum are mostly 0; those in the middle are uniformly distributed.
    return bytes(((least >> np.uint64(24)) & np.uint64(0xFF)).astype(np.uint8)).hex()


@lru_cache(maxsize=4096)
def _digest(line: str) -> bytes:
    """Return a line's digest, cached because most lines of a program also occur in its parent."""
    return hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def read_sketch(text: str) -> NDArray[np.uint8] | None:
    """Decode a sketch to numbers of shape [32]; None if it is empty or invalid."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return np.frombuffer(raw, dtype=np.uint8) if len(raw) == _SLOTS else None


def mean_distance(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
    """Estimate how far a program is from others: the share of lines that it does not have in common with them.

    Args:
        one: a sketch, shape [32].
        others: sketches, shape [n, 32], at least one.

    Returns:
        Mean Jaccard distance, from 0 (same lines) to 1 (no line in common); standard error at most 0.09 for each.
    """
    return int(np.count_nonzero(others != one)) / others.size
