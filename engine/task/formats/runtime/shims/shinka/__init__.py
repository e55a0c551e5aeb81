"""Stands in for the package of this name: what evaluators import from it, and nothing else."""
