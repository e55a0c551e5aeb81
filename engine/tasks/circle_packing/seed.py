"""Circles in the unit square: one circle in two rings, and the corner for the last; radii shrunk until they fit."""

import numpy as np

N = 26  # tune: fixed
SEED = 1  # tune: scale 1..9999
INNER_RING = 0.3  # tune: scale 0.1..0.5
OUTER_RING = 0.7  # tune: scale 0.3..0.8
MARGIN = 0.01  # tune: scale 0.001..0.1
KICK = 0.05  # tune: scale 0.005..0.3
HOPS = 8  # tune: effort 2..40


def initial_centers(rng):
    """A start layout: one circle in the middle, a ring of a third, a ring of the others, one in the corner."""
    c = np.zeros((N, 2))
    c[0] = 0.5, 0.5
    third = (N - 2) // 3  # tune: fixed
    inner = np.arange(third) * (2 * np.pi / third)
    outer = np.arange(N - 2 - third) * (2 * np.pi / (N - 2 - third))  # tune: fixed
    c[1 : 1 + third] = 0.5 + INNER_RING * np.column_stack([np.cos(inner), np.sin(inner)])
    c[1 + third : -1] = 0.5 + OUTER_RING * np.column_stack([np.cos(outer), np.sin(outer)])
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


def hops(c, r, rng):
    """The best of a packing and of some hops from the best, for the kind `improve`."""
    best = c, r
    for hop in range(HOPS):
        c = perturb(*best, rng) if hop else best[0]
        found = refine(c, radii_for(c))
        if found[1].sum() > best[1].sum():
            best = found
    return best


def construct_packing(count=N):
    """Centers (count, 2) and radii (count,), as plain lists: the evaluator needs no NumPy to read them."""
    global N
    N = count
    c, r = search(np.random.default_rng(SEED))
    c, r = polish(c, r)
    return c.tolist(), r.tolist()


def improve_packing(start, count=N):
    """The same, or what hops make of a packing if that is better."""
    found = construct_packing(count)
    c, r = hops(np.array(start[0]), np.array(start[1]), np.random.default_rng(SEED))
    return (c.tolist(), r.tolist()) if r.sum() > sum(found[1]) else found
