"""A step function whose autoconvolution is flat: the best of a few random ones."""

import numpy as np

SEED = 1  # tune: scale 1..9999
STEPS = 60  # tune: effort 20..480
STARTS = 20  # tune: effort 5..80
KICK = 0.1  # tune: scale 0.005..0.5
HOPS = 8  # tune: effort 2..40
WHICH = "first"  # tune: fixed


def initial(n, rng):
    """A start: constant heights, slightly shaken."""
    return 1 + 0.1 * rng.random(n)


def value(f):
    """What is to be large: minus the first constant, or the second."""
    y = np.convolve(f, f)
    if WHICH == "first":
        return -2 * len(f) * y.max() / f.sum() ** 2
    y = np.concatenate([[0], y, [0]])
    return (y[:-1] ** 2 + y[:-1] * y[1:] + y[1:] ** 2).sum() / (3 * y.sum() * y.max())


def refine(f):
    """Improve heights locally: nothing is done yet."""
    return f


def perturb(f, rng):
    """Neighbouring heights: all shaken."""
    return np.maximum(f + KICK * f.mean() * rng.normal(size=len(f)), 0)


def search(n, rng):
    """The outer search: the best of STARTS functions."""
    return max((refine(initial(n, rng)) for _ in range(STARTS)), key=value)


def polish(f):
    """A last improvement: nothing is done yet."""
    return f


def hops(f, rng):
    """The best of some heights and of hops from the best, fewer for more heights, for the kind `improve`."""
    best = max(f, refine(f), key=value)
    for _ in range(HOPS * STEPS // max(len(f), STEPS)):
        best = max(best, refine(perturb(best, rng)), key=value)
    return best


def construct_function(inequality):
    """The heights as a plain list."""
    global WHICH
    WHICH = inequality
    return np.maximum(polish(search(STEPS, np.random.default_rng(SEED))), 0).tolist()


def improve_function(start, inequality):
    """The same, or what hops make of some heights, whatever their number, if that is better."""
    global WHICH
    WHICH = inequality
    found = polish(search(STEPS, np.random.default_rng(SEED)))
    return np.maximum(max(hops(np.array(start), np.random.default_rng(SEED)), found, key=value), 0).tolist()
