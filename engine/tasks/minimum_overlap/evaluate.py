"""Score a step function by its largest overlap with its complement, in exact fractions."""

from evaluation import evaluate_answer


def evaluate(program_path, report):
    """Run `construct_function()` and score what it returns."""
    return evaluate_answer(report)
