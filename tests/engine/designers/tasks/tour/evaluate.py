import math
import random
import runpy


def evaluate(program_path):
    rng = random.Random(5)
    cities = [(rng.random(), rng.random()) for _ in range(40)]
    tour = runpy.run_path(program_path)["tour"](cities)
    if sorted(tour) != list(range(40)):
        raise ValueError("every city is visited once")
    return {"length": sum(math.dist(cities[tour[k - 1]], cities[tour[k]]) for k in range(40))}
