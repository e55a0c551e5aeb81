"""Executors: places that run evaluations. The rest of the engine knows no more than `base` says."""
