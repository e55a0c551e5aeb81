"""Score a set of integers by its sums and differences, exactly."""

from evaluation import evaluate_answer


def evaluate(program_path, report):
    """Run `construct_set()` and score what it returns."""
    return evaluate_answer(report)
