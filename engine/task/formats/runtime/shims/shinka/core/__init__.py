"""Stands in for the package of this name: what evaluators import from it, and nothing else."""

from .wrap_eval import run_shinka_eval, save_json_results

__all__ = ["run_shinka_eval", "save_json_results"]
