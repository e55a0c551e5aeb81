"""A set of integers with many differences and few sums: the best of a few random ones."""

import math

import numpy as np

SEED = 1  # tune: scale 1..9999
STARTS = 10  # tune: effort 3..40
REACH = 40  # tune: scale 10..400
SHARE = 0.4  # tune: scale 0.1..0.9
HOPS = 8  # tune: effort 2..40
LARGEST = 2**60


def initial(n, rng):
    """A start: a sorted array of different integers from 0, at most n; here a share of those below REACH, and a far one."""
    u = np.flatnonzero(rng.random(round(REACH)) < SHARE)
    return np.unique(np.append(u, [0, 3 * round(REACH)]))[:n]


def count(numbers):
    """How many different numbers there are; sorting is faster than hashing here."""
    return 1 + np.count_nonzero(np.diff(np.sort(numbers)))


def value(u):
    """The exponent: what is to be large; 0 if all differences occur, which is not allowed."""
    i, j = np.triu_indices(len(u))
    sums, differences = count(u[i] + u[j]), 2 * count(u[j] - u[i]) - 1
    if len(u) < 2 or differences > 2 * int(u.max()):
        return 0.0
    return 1 + math.log(differences / sums) / math.log(2 * int(u.max()) + 1)


def refine(u):
    """Improve a set locally: nothing is done yet."""
    return u


def perturb(u, rng):
    """A neighbouring set: one element left out, or one more."""
    if len(u) > 3 and rng.random() < 0.5:
        return np.delete(u, rng.integers(1, len(u)))
    return np.unique(np.append(u, rng.integers(1, int(u.max()) + 2)))


def search(n, rng):
    """The outer search: the best of STARTS sets."""
    return max((refine(initial(n, rng)) for _ in range(STARTS)), key=value)


def polish(u, n):
    """A last step, such as a product of the set with itself: nothing is done yet."""
    return u


def hops(u, rng):
    """The best of a set and of some hops from the best, for the kind `improve`."""
    best = max(u, refine(u), key=value)
    for _ in range(HOPS):
        best = max(best, refine(perturb(best, rng)), key=value)
    return best


def construct_set(elements):
    """The set as a plain list."""
    u = polish(search(elements, np.random.default_rng(SEED)), elements)
    return [int(element) for element in np.unique(u)][:elements]


def improve_set(start, elements):
    """The same, or what hops make of a set if that is better."""
    found = np.array(construct_set(elements))
    u = max(hops(np.array(start), np.random.default_rng(SEED)), found, key=value)
    return [int(element) for element in np.unique(u)][:elements]
