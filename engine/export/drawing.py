"""Draw a reported picture as SVG geometry."""

from __future__ import annotations

from engine.evaluation.picture import Picture

__all__ = ["SIDE", "draw_picture"]

SIDE = 320
_MARGIN = 8.0
_DOT = 3.0


def draw_picture(picture: Picture) -> str:
    """Return the path data of a picture, in a square of SIDE units."""
    left, right, low, high = picture.frame
    room = SIDE - 2 * _MARGIN

    def x(value: float) -> float:
        return _MARGIN + (value - left) / (right - left) * room

    def y(value: float) -> float:
        return SIDE - _MARGIN - (value - low) / (high - low) * room

    if picture.kind == "steps":
        tops = [f"V{y(row[0]):.1f}H{x(step + 1.0):.1f}" for step, row in enumerate(picture.rows)]
        return f"M{x(0.0):.1f} {y(0.0):.1f}{''.join(tops)}V{y(0.0):.1f}Z"
    drawn = []
    for row in picture.rows:
        r = row[2] / (right - left) * room if picture.kind == "circles" else _DOT
        arcs = "".join(f"a{r:.2f} {r:.2f} 0 1 0 {across:.2f} 0" for across in (2 * r, -2 * r))
        drawn.append(f"M{x(row[0]) - r:.2f} {y(row[1]):.2f}{arcs}")
    return "".join(drawn)
