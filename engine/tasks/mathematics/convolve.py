"""Convolve lists of natural numbers exactly: each list becomes one long integer, and Python multiplies the two."""

from __future__ import annotations

__all__ = ["convolve", "correlate"]


def convolve(a: list[int], b: list[int]) -> list[int]:
    """Return the sums of a[i] · b[k − i] for each k, exactly; all numbers are natural ones."""
    most = max(1, *a) * max(1, *b) * min(len(a), len(b))
    width = most.bit_length() // 8 + 1
    product = _pack(a, width) * _pack(b, width)
    count = len(a) + len(b) - 1
    packed = product.to_bytes(count * width, "little")
    return [int.from_bytes(packed[k * width : (k + 1) * width], "little") for k in range(count)]


def correlate(a: list[int], b: list[int]) -> list[int]:
    """Return the sums of a[i] · b[i + k] for each shift k, from −(len(a) − 1) to len(b) − 1; zeros beyond the ends."""
    return convolve(a[::-1], b)


def _pack(values: list[int], width: int) -> int:
    return int.from_bytes(b"".join(value.to_bytes(width, "little") for value in values), "little")
