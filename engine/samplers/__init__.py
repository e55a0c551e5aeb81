"""Samplers: policies that pick the parent and the inspirations of a design, one file each."""

from __future__ import annotations

from engine.journal.events import EvalDone, Event
from engine.samplers.base import Sample, Sampler
from engine.settings.model import SamplerSettings
from engine.state.run_state import RunState

__all__ = ["Sample", "Sampler", "make_sampler", "take_up"]


def make_sampler(settings: SamplerSettings) -> Sampler:
    """The sampler that the settings name, empty; fold the run's events into it."""
    keep = settings.keep
    # Imported where they are needed: numpy is not on the path of what only reads settings.
    match settings.name:
        case "ucb1":
            from engine.samplers.ucb1 import UCB1

            return UCB1(settings.c, keep)
        case "ucb1_paper":
            from engine.samplers.ucb1_paper import PaperUCB1

            return PaperUCB1(keep)
        case "greedy":
            from engine.samplers.greedy import Greedy

            return Greedy(keep)
        case "random":
            from engine.samplers.uniform import Uniform

            return Uniform(keep)
        case "power_law":
            from engine.samplers.power_law import PowerLaw

            return PowerLaw(settings.alpha, keep)
        case "weighted":
            from engine.samplers.weighted import Weighted

            return Weighted(settings.steepness, keep)
        case "map_elites":
            from engine.samplers.map_elites import MapElites

            return MapElites(settings)


def take_up(sampler: Sampler, state: RunState) -> None:
    """Give an empty sampler the population as it stands, in the order of node ids, when it is switched to in a run.

    The state is all that a sampler may depend on, so the same journal gives the same sampler however often it is
    folded, and nothing is read from the disk. What follows from the order of past events (who migrated when) is as if
    the nodes had got their scores in this order, and those that are pruned had been so from the start.
    """
    for node in state.nodes:
        if node.status is not None:
            sampler.apply(Event(state.seq, state.at, node.round, node.id, EvalDone(node.status, node.score)), state)
