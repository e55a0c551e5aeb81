"""Samplers: policies that pick the parent and the inspirations of a design, one file each."""

from __future__ import annotations

from engine.samplers.base import Sample, Sampler
from engine.settings import SamplerSettings
from engine.task import TaskSpec

__all__ = ["Sample", "Sampler", "make_sampler"]


def make_sampler(settings: SamplerSettings, spec: TaskSpec) -> Sampler:
    """The sampler that the settings name, empty; fold the run's events into it."""
    from engine.samplers.ucb1 import UCB1

    return UCB1(settings.c, spec.direction == "maximize")
