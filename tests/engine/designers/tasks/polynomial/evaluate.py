import math
import runpy


def evaluate(program_path):
    cosine = runpy.run_path(program_path)["cosine"]
    grid = [3 * step / 200 for step in range(201)]
    return {"error": math.sqrt(sum((cosine(x) - math.cos(x)) ** 2 for x in grid) / len(grid))}
