"""Points in a triangle, or in their own hull, whose smallest triangle is large: the best of a few random layouts."""

import itertools

import numpy as np

SEED = 1  # tune: scale 1..9999
STARTS = 20  # tune: effort 5..80
KICK = 0.05  # tune: scale 0.005..0.3
HOPS = 8  # tune: effort 2..40
REGION = "triangle"  # tune: fixed


def initial(n, rng):
    """A start layout: points (n, 2) drawn evenly from the triangle x, y >= 0, x + y <= 1."""
    p = rng.random((n, 2))
    return np.where(p.sum(axis=1, keepdims=True) > 1, 1 - p, p)


def value(p):
    """The share of the smallest triangle: what is to be large."""
    a, b, c = np.array(list(itertools.combinations(range(len(p)), 3))).T
    u, v = p[b] - p[a], p[c] - p[a]
    smallest = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).min()
    if REGION == "triangle":
        return smallest if p.min() >= 0 and p.sum(axis=1).max() <= 1 + 1e-9 else -1.0
    return smallest / hull_area(p)


def hull_area(p):
    """Twice the area of the points' hull, by gift wrapping."""
    order, here = [], int(np.lexsort((p[:, 1], p[:, 0]))[0])
    while here not in order:
        order.append(here)
        d = p - p[here]
        after = (here + 1) % len(p)
        for k in range(len(p)):
            if d[after, 0] * d[k, 1] - d[after, 1] * d[k, 0] < 0:
                after = k
        here = after
    x, y = p[order].T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def refine(p):
    """Improve a layout locally: nothing is done yet."""
    return p


def perturb(p, rng):
    """A neighbouring layout: all points shaken."""
    return clip(p + rng.normal(0, KICK, p.shape))


def clip(p):
    """The points, moved into the triangle where they lie outside."""
    if REGION != "triangle":
        return p
    p = np.maximum(p, 0)
    return p / np.maximum(p.sum(axis=1, keepdims=True), 1)


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


def told(p):
    """The layout as plain lists: three weights of the corners each in a triangle, else x and y."""
    if REGION != "triangle":
        return p.tolist()
    p = clip(p)
    return np.column_stack([np.maximum(1 - p.sum(axis=1), 0), p]).tolist()


def construct_points(count, region):
    """The layout of the search, polished."""
    global REGION
    REGION = region
    return told(polish(search(count, np.random.default_rng(SEED))))


def improve_points(start, count, region):
    """The same, or what hops make of a layout if that is better."""
    global REGION
    REGION = region
    p = np.array(start)
    if region == "triangle":
        p = clip(p[:, 1:] / p.sum(axis=1, keepdims=True))  # tune: fixed
    found = polish(search(count, np.random.default_rng(SEED)))
    return told(max(hops(p, np.random.default_rng(SEED)), found, key=value))
