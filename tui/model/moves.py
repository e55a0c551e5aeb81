"""Short texts of what a design changed, cut to the room that a row has: `search ← A few…, tune MOVES 12 → 24`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from engine.text import one_line

__all__ = ["OPERATOR_LOOKS", "Move", "operator_look", "read_moves", "short_moves"]

_PART = re.compile(r"(?:(?P<verb>[a-z]+) )?(?P<place>[\w.]+): (?P<detail>.+)", re.DOTALL)
_VERBS = ("swap", "exchange", "drop", "tune", "graft", "cross", "add", "move")
_LEAST = 6
"""The fewest cells of a detail that say anything."""

OPERATOR_LOOKS = {
    "seed": "heading", "swap": "accent", "exchange": "hunk", "drop": "removed", "tune": "number", "diff": "string",
    "full": "keyword", "fix": "comment", "inject": "best",
}  # fmt: skip
"""The look of each operator's word."""


class Move(NamedTuple):
    """One of the changes that made a program."""

    verb: str
    """Empty if it is the operator of the whole design."""
    place: str
    """What was changed."""
    detail: str
    """What it was changed to; empty if the place says all."""


def operator_look(operator: str) -> str:
    """Return the look of an operator's word."""
    return OPERATOR_LOOKS.get(operator, "keyword")


@lru_cache(maxsize=4096)
def short_moves(name: str, operator: str, cells: int) -> str:
    """Return a design's name without its operator, each of its changes cut to its share of the cells.

    The text may be longer than `cells` if not even the places of the changes fit.
    """
    moves = read_moves(one_line(name, 400), operator)
    heads = [f"{move.verb} {move.place}".strip() for move in moves]
    shown = [f"{head} ← {move.detail}" if move.detail else head for head, move in zip(heads, moves, strict=True)]
    whole = ", ".join(shown)
    if len(whole) <= cells or len(moves) == 1:
        return whole
    left = (
        cells
        - 2 * (len(moves) - 1)
        - sum(len(head) + 3 * bool(move.detail) for head, move in zip(heads, moves, strict=True))
    )
    details = [move.detail for move in moves]
    if left < _LEAST * sum(map(bool, details)):
        # Two places without their details differ more than one place with half of them.
        return ", ".join(heads)
    shares = _shares([len(detail) for detail in details], left)
    cut = [
        detail if len(detail) <= share else f"{detail[: share - 1].rstrip()}…"
        for detail, share in zip(details, shares, strict=True)
    ]
    return ", ".join(f"{head} ← {detail}" if detail else head for head, detail in zip(heads, cut, strict=True))


def read_moves(name: str, operator: str) -> list[Move]:
    """Return the changes that a design's name lists; one without a detail if it is a sentence."""
    if name == operator:
        return [Move("", "", "")]
    parts = name.split(" + ") if name.startswith(tuple(f"{verb} " for verb in _VERBS)) else [name]
    return [_read(part, operator) for part in parts]


def _read(part: str, operator: str) -> Move:
    found = _PART.fullmatch(part)
    if found is None or (found["verb"] and found["verb"] not in _VERBS):
        return Move("", part.removeprefix(f"{operator} "), "")
    verb = found["verb"] or ""
    detail = found["detail"].removeprefix("from ") if verb == "exchange" else found["detail"]
    return Move("" if verb == operator else verb, found["place"], "" if verb == "drop" else detail)


def _shares(lengths: list[int], room: int) -> list[int]:
    """Return the cells of each text: what a short one leaves over goes to the longer ones."""
    shares = [0] * len(lengths)
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for place, index in enumerate(order):
        shares[index] = min(lengths[index], room // (len(order) - place))
        room -= shares[index]
    return shares
