"""A round trip by annealing: its parameters are keyword arguments and defaults."""

import math
import random


def anneal(cities, *, warm, cool, steps, restarts, greedy=False):
    """The best tour of several searches that reverse parts of a tour."""
    rng = random.Random(0)
    best, shortest = list(range(len(cities))), math.inf
    for _ in range(restarts):
        tour = list(range(len(cities)))
        if greedy:
            tour = nearest(cities, rng.randrange(len(cities)))
        length = measure(cities, tour)
        for step in range(steps // restarts):
            heat = warm * cool ** (100 * step * restarts / steps)
            i, j = sorted(rng.sample(range(len(cities)), 2))
            a, b, c, d = tour[i - 1], tour[i], tour[j], tour[(j + 1) % len(tour)]
            gain = math.dist(cities[a], cities[b]) + math.dist(cities[c], cities[d])
            gain -= math.dist(cities[a], cities[c]) + math.dist(cities[b], cities[d])
            if a != c and (gain > 0 or rng.random() < math.exp(gain / max(heat, 1e-9))):
                tour[i : j + 1] = reversed(tour[i : j + 1])
                length -= gain
        if length < shortest:
            best, shortest = tour, length
    return best


def nearest(cities, first):
    """A tour that always goes on to the nearest city."""
    tour, left = [first], set(range(len(cities))) - {first}
    while left:
        tour.append(min(left, key=lambda city: math.dist(cities[tour[-1]], cities[city])))
        left.remove(tour[-1])
    return tour


def measure(cities, tour):
    """The length of a tour."""
    return sum(math.dist(cities[tour[k - 1]], cities[tour[k]]) for k in range(len(tour)))


def tour(cities):
    """The order of the cities."""
    return anneal(
        cities,
        warm=1.0,
        cool=0.99,  # tune: scale 0.5..0.9999
        steps=600,  # tune: effort 100..10000
        restarts=6,  # tune: effort 1..12
    )
