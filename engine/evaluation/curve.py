"""Record an evaluator's progress reports as a curve with a bounded number of points."""

from __future__ import annotations

import msgspec

__all__ = ["Curve", "Point", "decode_curve"]

Point = tuple[float | None, dict[str, float]]
"""A step and the values reported at it."""

_MOST = 512


class Curve:
    """Reported points in order; if there are too many, every second one is dropped and later reports are thinned."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._stride = 1
        self._seen = 0
        self._last: Point | None = None

    def add(self, step: float | None, values: dict[str, float]) -> None:
        """Add one report."""
        self._last = (step, values)
        if self._seen % self._stride == 0:
            self._points.append(self._last)
            if len(self._points) >= _MOST:
                self._points = self._points[::2]
                self._stride *= 2
        self._seen += 1

    def points(self) -> list[Point]:
        """Return the kept points, always including the newest."""
        if self._last is None or self._points[-1] is self._last:
            return list(self._points)
        return [*self._points, self._last]

    def encode(self) -> bytes:
        """Encode the points as JSON; empty if there are none."""
        return msgspec.json.encode(self.points()) if self._points else b""


def decode_curve(raw: bytes) -> list[Point]:
    """Decode the points of an encoded curve."""
    return msgspec.json.decode(raw, type=list[Point]) if raw else []
