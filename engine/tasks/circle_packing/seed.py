"""26 circles in the unit square: one circle in two rings, and the corner for the last; radii shrunk until they fit."""

import numpy as np

N = 26
SEED = 1  # tune: scale 1..9999
INNER_RING = 0.3  # tune: scale 0.1..0.5
OUTER_RING = 0.7  # tune: scale 0.3..0.8
MARGIN = 0.01  # tune: scale 0.001..0.1
KICK = 0.05  # tune: scale 0.005..0.3


def initial_centers(rng):
    """A start layout: one circle in the middle, rings of 8 and 16, one in the corner."""
    c = np.zeros((N, 2))
    c[0] = 0.5, 0.5
    inner = np.arange(8) * (2 * np.pi / 8)
    outer = np.arange(16) * (2 * np.pi / 16)
    c[1:9] = 0.5 + INNER_RING * np.column_stack([np.cos(inner), np.sin(inner)])
    c[9:25] = 0.5 + OUTER_RING * np.column_stack([np.cos(outer), np.sin(outer)])
    return np.clip(c, MARGIN, 1 - MARGIN)


def radii_for(c):
    """Radii that fit the centers: from the distance to the walls, both circles of a pair shrunk where they overlap."""
    r = np.minimum(c, 1 - c).min(axis=1)
    for i in range(N):
        for j in range(i + 1, N):
            d = np.hypot(*(c[i] - c[j]))
            if r[i] + r[j] > d:
                shrink = d / (r[i] + r[j])
                r[i] *= shrink
                r[j] *= shrink
    return r


def refine(c, r):
    """Improve a layout locally: nothing is done yet."""
    return c, r


def perturb(c, r, rng):
    """A neighbouring layout: all centers shaken."""
    return np.clip(c + rng.normal(0, KICK, c.shape), 0, 1)


def search(rng):
    """The outer search: a single start."""
    c = initial_centers(rng)
    return refine(c, radii_for(c))


def polish(c, r):
    """A last, accurate improvement: nothing is done yet."""
    return c, r


def construct_packing():
    """Centers (26, 2) and radii (26,), as plain lists: the evaluator needs no NumPy to read them."""
    c, r = search(np.random.default_rng(SEED))
    c, r = polish(c, r)
    return c.tolist(), r.tolist()
