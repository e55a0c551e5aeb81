"""Score a rule for online bin packing on items that no program can know, in exact fractions.

Each item is sent to the candidate's sandbox on its own, with the room in the open bins, and is placed before the next
one is sent. The bins are kept here.
"""

import evolve_task
import numpy as np
from answers import Refused
from exact import METRIC, Bins, excess, index_of


def evaluate(program_path, report):
    """Ask `score(item, bins)` for each item of each instance, and count the bins that are used."""
    settings = report.settings
    capacity, instances = int(settings["capacity"]), int(settings["instances"])
    drawn = draw(report.data_seed, instances, int(settings["items"]), capacity, settings["shape"], settings["scale"])
    packed = [Bins(capacity) for _ in range(instances)]
    with evolve_task.Session("beside.py") as candidate:
        for step in range(drawn.shape[1]):
            asked = [[int(drawn[k, step]), bins.rooms(int(drawn[k, step]))] for k, bins in enumerate(packed)]
            chosen = candidate.call("choose", asked)
            try:
                if type(chosen) is not list or len(chosen) != instances:
                    raise Refused("score() was answered by no list of choices")
                for (item, rooms), choice, bins in zip(asked, chosen, packed, strict=True):
                    bins.place(item, rooms[index_of(choice, len(rooms))])
            except Refused as exc:
                raise evolve_task.Invalid(str(exc)) from None
            if step % 1000 == 999:
                report(step=step + 1, bins=sum(bins.used for bins in packed))
    shares = [excess(bins.used, row.tolist(), capacity) for bins, row in zip(packed, drawn, strict=True)]
    found = sum(shares) / len(shares)
    return {METRIC: float(found), "worst": float(max(shares)), "bins": sum(bins.used for bins in packed)}


def draw(seed, instances, items, capacity, shape, scale):
    """Return sizes of items by instance: of a Weibull distribution, rounded, from 1 to the capacity."""
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(scale * rng.weibull(shape, (instances, items))), 1, capacity).astype(int)
