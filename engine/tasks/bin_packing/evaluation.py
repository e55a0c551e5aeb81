"""Let a rule for online bin packing pack items: each is sent on its own, and placed before the next one is sent.

The bins are kept here, not in the candidate's sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import evolve_task
from answers import Refused
from exact import Bins, index_of, items_of

__all__ = ["ask", "pack"]


def ask(settings: dict[str, Any]) -> list[list[int]]:
    """Return how the candidate packs the items that everyone can draw: an answer that `measure` takes."""
    return pack(items_of(settings), int(settings["capacity"]))


def pack(
    drawn: list[list[int]], capacity: int, progress: Callable[[int, int], None] = lambda step, bins: None
) -> list[list[int]]:
    """Return the room of the bin that each item was put into, before it was put there.

    Args:
        drawn: sizes of items by instance.
        capacity: of a bin.
        progress: called after each thousand items of an instance, with their number and that of all bins.

    Raises:
        Invalid: the candidate chooses no bin.
    """
    packed = [Bins(capacity) for _ in drawn]
    chosen_rooms: list[list[int]] = [[] for _ in drawn]
    with evolve_task.Session("beside.py") as candidate:
        for step, items in enumerate(zip(*drawn, strict=True), start=1):
            asked = [[item, bins.rooms(item)] for item, bins in zip(items, packed, strict=True)]
            chosen = candidate.call("choose", asked)
            try:
                if type(chosen) is not list or len(chosen) != len(drawn):
                    raise Refused("score() was answered by no list of choices")
                for k, ((item, rooms), choice) in enumerate(zip(asked, chosen, strict=True)):
                    room = rooms[index_of(choice, len(rooms))]
                    packed[k].place(item, room)
                    chosen_rooms[k].append(room)
            except Refused as exc:
                raise evolve_task.Invalid(str(exc)) from None
            if step % 1000 == 0:
                progress(step, sum(bins.used for bins in packed))
    return chosen_rooms
