"""Compare paired measurements: means of differences with their bootstrap intervals."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

__all__ = ["interval"]

_DRAWS = 2_000


def interval(gains: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of paired differences and both ends of its percentile bootstrap interval.

    The same differences always give the same interval. One difference has no interval: both ends are the mean.

    Args:
        gains: at least one, each of two measurements that share what chance they can, such as a seed.
        confidence: two-sided.
    """
    mean = statistics.fmean(gains)
    rng = random.Random(len(gains))
    means = sorted(statistics.fmean(rng.choices(gains, k=len(gains))) for _ in range(_DRAWS))
    tail = int((1 - confidence) / 2 * _DRAWS)
    return mean, means[tail], means[-1 - tail]
