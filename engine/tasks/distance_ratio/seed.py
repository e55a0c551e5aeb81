"""Points whose distances differ little: the best of a few random layouts."""

import numpy as np

SEED = 1  # tune: scale 1..9999
STARTS = 20  # tune: effort 5..80
KICK = 0.05  # tune: scale 0.005..0.3
HOPS = 8  # tune: effort 2..40
DIMENSIONS = 2  # tune: fixed


def initial(n, rng):
    """A start layout: points (n, DIMENSIONS) in the unit cube."""
    return rng.random((n, DIMENSIONS))


def squares(p):
    """All squared distances between two points."""
    i, j = np.triu_indices(len(p), 1)
    return ((p[i] - p[j]) ** 2).sum(axis=1)


def value(p):
    """Minus the squared ratio of the largest to the smallest distance: what is to be large."""
    d = squares(p)
    return -d.max() / max(d.min(), 1e-12)


def refine(p):
    """Improve a layout locally: nothing is done yet."""
    return p


def perturb(p, rng):
    """A neighbouring layout: all points shaken."""
    return p + rng.normal(0, KICK * p.std(), p.shape)


def search(n, rng):
    """The outer search: the best of STARTS layouts."""
    return max((refine(initial(n, rng)) for _ in range(STARTS)), key=value)


def polish(p):
    """A last, accurate improvement: nothing is done yet."""
    return p


def hops(p, rng):
    """The best of a layout and of some hops from the best, for the kind `improve`."""
    best = max(p, refine(p), key=value)
    for _ in range(HOPS):
        best = max(best, refine(perturb(best, rng)), key=value)
    return best


def construct_points(count, dimensions):
    """The layout as plain lists."""
    global DIMENSIONS
    DIMENSIONS = dimensions
    return polish(search(count, np.random.default_rng(SEED))).tolist()


def improve_points(start, count, dimensions):
    """The same, or what hops make of a layout if that is better."""
    global DIMENSIONS
    DIMENSIONS = dimensions
    found = polish(search(count, np.random.default_rng(SEED)))
    return max(hops(np.array(start), np.random.default_rng(SEED)), found, key=value).tolist()
