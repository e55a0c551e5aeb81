"""A step function with little overlap: the best of a few random ones."""

import numpy as np

SEED = 1  # tune: scale 1..9999
STEPS = 50  # tune: effort 20..400
STARTS = 20  # tune: effort 5..80
KICK = 0.1  # tune: scale 0.005..0.5
HOPS = 8  # tune: effort 2..40


def initial(n, rng):
    """A start: heights of about a half."""
    return fit(0.5 + 0.05 * rng.normal(size=n))


def fit(h):
    """Heights in 0 to 1 whose mean is a half: moved up or down and cut, by bisection."""
    low, high = -1 - h.max(), 2 - h.min()
    for _ in range(60):
        middle = (low + high) / 2
        if np.clip(h + middle, 0, 1).mean() < 0.5:
            low = middle
        else:
            high = middle
    return np.clip(h + high, 0, 1)


def overlaps(h):
    """The overlap for each shift."""
    return np.correlate(1 - h, h, "full") * 2 / len(h)


def value(h):
    """Minus the largest overlap: what is to be large."""
    return -overlaps(h).max()


def refine(h):
    """Improve heights locally: nothing is done yet."""
    return h


def perturb(h, rng):
    """Neighbouring heights: all shaken."""
    return fit(h + KICK * rng.normal(size=len(h)))


def search(n, rng):
    """The outer search: the best of STARTS functions."""
    return max((refine(initial(n, rng)) for _ in range(STARTS)), key=value)


def polish(h):
    """A last improvement: nothing is done yet."""
    return h


def hops(h, rng):
    """The best of some heights and of hops from the best, fewer for more heights, for the kind `improve`."""
    best = max(h, refine(h), key=value)
    for _ in range(HOPS * STEPS // max(len(h), STEPS)):
        best = max(best, refine(perturb(best, rng)), key=value)
    return best


def told(h):
    """The heights as a plain list, slightly below 1 so that no rounding lifts one above it."""
    return np.clip(0.5 + (fit(h) - 0.5) * (1 - 1e-13), 0, 1).tolist()  # tune: fixed


def construct_function():
    """The heights of the search, polished."""
    return told(polish(search(STEPS, np.random.default_rng(SEED))))


def improve_function(start):
    """The same, or what hops make of some heights, whatever their number, if that is better."""
    found = polish(search(STEPS, np.random.default_rng(SEED)))
    return told(max(hops(fit(np.array(start)), np.random.default_rng(SEED)), found, key=value))
