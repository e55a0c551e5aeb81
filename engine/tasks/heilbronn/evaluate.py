"""Score a set of points by its smallest triangle, in exact fractions."""

from evaluation import evaluate_answer


def evaluate(program_path, report):
    """Run `construct_points()` and score what it returns."""
    return evaluate_answer(report)
