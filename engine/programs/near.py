"""How alike two programs are, and an index that finds the programs most like one.

Lines are compared as sketches do: without indentation, order, blank lines and comments.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from engine.programs.minhash import read_sketch

__all__ = ["KINDS", "Difference", "Kind", "NearIndex", "difference", "lines_of"]

Kind = Literal["numbers", "code"]
KINDS: tuple[Kind, ...] = ("numbers", "code")

_BANDS = 8
"""A sketch of 32 slots in bands of four: two programs that share nine lines of ten have a band in common with a chance
of 99.98 %, two that share half of them with one of 41 %."""
_NEWEST = 24
"""Programs that are kept of those with the same band: a run's programs share most of their lines."""
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?")


class Difference(NamedTuple):
    """What two programs do not have in common."""

    shared: float
    """Lines of both, as a share of the lines of either (Jaccard), from 0 to 1."""
    kind: Kind
    """`numbers` if lines differ in numbers alone."""
    gone: list[str]
    """Lines of the other program alone."""
    come: list[str]
    """Lines of this program alone."""


def lines_of(code: str, comment: str = "#") -> frozenset[str]:
    """Return the lines of a program that count.

    Args:
        code: the program.
        comment: the sign that begins a comment; empty if there is none.
    """
    stripped = {line.strip() for line in code.splitlines()}
    return frozenset(line for line in stripped if line and not (comment and line.startswith(comment)))


def difference(lines: frozenset[str], others: frozenset[str]) -> Difference:
    """Compare the lines of a program with those of another one."""
    either = len(lines | others)
    come, gone = sorted(lines - others), sorted(others - lines)
    numbers = bool(come) and _blanked(come) == _blanked(gone)
    return Difference(len(lines & others) / either if either else 1.0, "numbers" if numbers else "code", gone, come)


def _blanked(lines: Iterable[str]) -> list[str]:
    return sorted(_NUMBER.sub("#", line) for line in lines)


class NearIndex:
    """Find programs that share a band of their sketches (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
    3.4: locality-sensitive hashing of minhash signatures). Neither step depends on how many programs there are.
    """

    def __init__(self) -> None:
        self._buckets: defaultdict[tuple[int, bytes], deque[int]] = defaultdict(lambda: deque(maxlen=_NEWEST))
        self._sketches: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._sketches)

    def add(self, node: int, sketch: str) -> None:
        """Add a program by its sketch; an empty or invalid one is left out."""
        found = read_sketch(sketch)
        if found is None:
            return
        self._sketches[node] = sketch
        for band in _bands(found.tobytes()):
            self._buckets[band].append(node)

    def nearest(self, sketch: str, most: int) -> list[int]:
        """Return up to so many programs by the share of slots that agree, the nearest first, of equals the newest."""
        found = read_sketch(sketch)
        if found is None:
            return []
        nodes = sorted({node for band in _bands(found.tobytes()) for node in self._buckets.get(band, ())}, reverse=True)
        if not nodes:
            return []
        table = np.frombuffer(bytes.fromhex("".join(self._sketches[node] for node in nodes)), np.uint8)
        agree = np.count_nonzero(table.reshape(len(nodes), -1) == found, axis=1)
        return [nodes[at] for at in np.argsort(-agree, kind="stable")[:most].tolist()]


def _bands(raw: bytes) -> Iterable[tuple[int, bytes]]:
    size = len(raw) // _BANDS
    return [(band, raw[band * size : (band + 1) * size]) for band in range(_BANDS)]
