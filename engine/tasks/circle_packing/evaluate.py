"""Score a packing of circles in the unit square by the sum of its radii, in exact fractions; refuse a written one."""

import evolve_task
from evaluation import evaluate_answer
from exact import read
from written import count_written

MOST_WRITTEN = 0.5
"""Largest share of the centers that may stand in the program itself. By chance it is up to 0.2."""


def evaluate(program_path, report):
    """Run `construct_packing()` and score what it returns: the sum of the radii, shrunk until nothing overlaps."""
    return evaluate_answer(report, check_computed)


def check_computed(answer, settings):
    """Return how many centers stand in the program.

    Raises:
        Invalid: too many do, so that the packing was not computed.
    """
    centers, _ = read(answer, settings)
    written = count_written(evolve_task.source(), [(x, y) for x, y in centers])
    if written > MOST_WRITTEN * len(centers):
        raise evolve_task.Invalid(
            f"{written} of the {len(centers)} centers are written in the program, to two digits or more (at most "
            f"{int(MOST_WRITTEN * len(centers))} may be): a program must compute its packing"
        )
    return {"written": written}
