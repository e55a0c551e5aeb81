"""Stands in for the package of this name: what evaluators import from it, and nothing else."""

from .evaluation_result import EvaluationResult

__all__ = ["EvaluationResult"]
