"""Bins that are filled item by item, and the share of bins beyond what the items need at least."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from answers import Refused

METRIC = "excess"


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
        """Put an item into a bin with this room."""
        if room == self._capacity:
            self.used += 1
        else:
            self._left[room] -= 1
        self._left[room - item] += 1


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
