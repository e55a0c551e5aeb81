"""Online bin packing: a score for each bin that an item fits into; the item goes where the score is highest."""

import numpy as np

CAPACITY = 100.0  # tune: fixed
EMPTY = 0.0  # tune: scale -2..2
CLOSE = 1.0  # tune: scale 0.05..5


def closeness(item, rest):
    """How good it is to leave this room: here the less the better, as in best fit."""
    return -CLOSE * rest / CAPACITY


def waste(item, rest):
    """What is lost if room is left that hardly an item fits into: nothing is counted yet."""
    return np.zeros(len(rest))


def crowd(item, bins):
    """What the other open bins say, such as how many have the same room: nothing yet."""
    return np.zeros(len(bins))


def score(item, bins):
    """A score for each bin; `bins` is the room of those that fit, ascending, the last one empty."""
    rest = bins - item
    total = closeness(item, rest) - waste(item, rest) + crowd(item, bins)
    total[-1] += EMPTY - 1.0
    return total
