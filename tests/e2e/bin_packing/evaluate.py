"""Bins that an online heuristic needs above the least possible, over items that arrive one by one."""

import random

import evolve_task


def evaluate(program_path, report):
    rng = random.Random(report.data_seed)
    items = [rng.uniform(0.15, 0.6) for _ in range(report.settings["items"])]
    places = evolve_task.call("pack.py:pack", items, seconds=10)
    if len(places) != len(items):
        raise evolve_task.Invalid(f"{len(places)} of {len(items)} items are packed")
    rooms = []
    for item, place in zip(items, places, strict=True):
        if place == len(rooms):
            rooms.append(1.0)
        if not 0 <= place < len(rooms) or rooms[place] < item:
            raise evolve_task.Invalid(f"bin {place} has no room for an item of {item:.3f}")
        rooms[place] -= item
    return {"waste": len(rooms) - sum(items), "bins": len(rooms)}
