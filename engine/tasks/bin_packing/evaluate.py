"""Score a rule for online bin packing on items that no program can know, in exact fractions."""

import numpy as np
from evaluation import pack
from exact import METRIC, direction_of, score_of


def evaluate(program_path, report):
    """Ask `score(item, bins)` for each item of each instance, and count the bins that are used."""
    settings = report.settings
    capacity, instances = int(settings["capacity"]), int(settings["instances"])
    drawn = draw(report.data_seed, instances, int(settings["items"]), capacity, settings["shape"], settings["scale"])
    found = score_of(drawn, pack(drawn, capacity, lambda step, bins: report(step=step, bins=bins)), capacity)
    return {METRIC: found.worst(direction_of(settings)), **found.metrics}


def draw(seed, instances, items, capacity, shape, scale):
    """Return sizes of items by instance: of a Weibull distribution, rounded, from 1 to the capacity."""
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(scale * rng.weibull(shape, (instances, items))), 1, capacity).astype(int).tolist()
