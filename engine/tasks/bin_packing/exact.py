"""Bins that are filled item by item, and the share of bins beyond what the items need at least, in exact fractions.

A packing is told by the room of the bin that each item was put into. So it can be checked without the rule that chose
the bins: items are packed anew, and a room that no bin has is refused.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

from answers import Refused, Score, integers

METRIC = "excess"
MOST_ITEMS = 100_000
MOST_ROOM = 10_000


def direction_of(settings: dict[str, Any]) -> str:
    """Return that a lower excess is better."""
    return "minimize"


class Bins:
    """The open bins of an instance, as numbers of bins by the room that is left.

    Attributes:
        used: bins that hold an item.
    """

    def __init__(self, capacity: int) -> None:
        self._left = [0] * (capacity + 1)
        self._capacity = capacity
        self.used = 0

    def rooms(self, item: int) -> list[int]:
        """Return the rooms of the bins that an item fits into, ascending; the last one is an empty bin."""
        found = [room for room in range(item, self._capacity) for _ in range(self._left[room])]
        return [*found, self._capacity]

    def place(self, item: int, room: int) -> None:
        """Put an item into a bin with this room.

        Raises:
            Refused: there is no such bin, or the item does not fit.
        """
        if room < item or (room != self._capacity and not self._left[room]):
            raise Refused(f"an item of {item} is put into a bin with room {room}, which does not exist or is too small")
        if room == self._capacity:
            self.used += 1
        else:
            self._left[room] -= 1
        self._left[room - item] += 1


def measure(answer: Any, settings: dict[str, Any]) -> Score:
    """Return the mean excess of packings of the items that `items_of` draws, exactly.

    Raises:
        Refused: the answer is no packing of them.
    """
    drawn, capacity = items_of(settings), int(settings["capacity"])
    if type(answer) not in (list, tuple) or len(answer) != len(drawn):
        raise Refused(f"the answer must be {len(drawn)} lists of rooms")
    count = int(settings["items"])
    rooms = [integers(row, count, count, capacity, "rooms") for row in answer]
    return score_of(drawn, rooms, capacity)


def score_of(drawn: list[list[int]], rooms: list[list[int]], capacity: int) -> Score:
    """Return the mean excess of packings.

    Args:
        drawn: sizes of items by instance.
        rooms: the room of the bin that each was put into.
        capacity: of a bin.
    """
    packed = [Bins(capacity) for _ in drawn]
    for items, chosen, bins in zip(drawn, rooms, packed, strict=True):
        for item, room in zip(items, chosen, strict=True):
            bins.place(item, room)
    shares = [excess(bins.used, items, capacity) for bins, items in zip(packed, drawn, strict=True)]
    mean = sum(shares) / len(shares)
    return Score(mean, mean, {"worst": float(max(shares)), "bins": float(sum(bins.used for bins in packed))})


def items_of(settings: dict[str, Any]) -> list[list[int]]:
    """Return sizes of items by instance that everyone can draw: by Python's generator, the same in all its versions.

    Args:
        settings: the instance; `drawn_from` is the SHA-256 of the program that packs, in hexadecimal, so that nobody
            chooses the draw.

    Raises:
        Refused: there are more than a certificate may have.
    """
    instances, items, capacity = int(settings["instances"]), int(settings["items"]), int(settings["capacity"])
    if not (1 <= instances * items <= MOST_ITEMS and 1 <= capacity <= MOST_ROOM):
        raise Refused(f"an instance has 1 to {MOST_ITEMS:,} items, and bins of 1 to {MOST_ROOM:,}")
    shape, scale = float(settings["shape"]), float(settings["scale"])
    rng = random.Random(int(settings["drawn_from"], 16))
    return [
        [min(max(round(scale * (-math.log1p(-rng.random())) ** (1.0 / shape)), 1), capacity) for _ in range(items)]
        for _ in range(instances)
    ]


def index_of(choice: Any, count: int) -> int:
    """Return a choice among some bins.

    Raises:
        Refused: it is no index of one.
    """
    if type(choice) is not int or not 0 <= choice < count:
        raise Refused("score() must return one finite number for each bin")
    return choice


def excess(used: int, items: list[int], capacity: int) -> Fraction:
    """Return the bins that were used beyond the least number that the items' sum needs, as a share of it."""
    least = -(-sum(items) // capacity)
    return Fraction(used - least, least)
