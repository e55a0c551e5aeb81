"""Score a step function by an autocorrelation inequality, in exact fractions."""

from evaluation import evaluate_answer


def evaluate(program_path, report):
    """Run `construct_function()` and score what it returns."""
    return evaluate_answer(report)
