"""The result of an evaluation; the same class as OpenEvolve's."""

from openevolve.evaluation_result import EvaluationResult

__all__ = ["EvaluationResult"]
